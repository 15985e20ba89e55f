<?php

declare(strict_types=1);

require __DIR__ . '/../../php/autoload.php';

use Rr\Http\HttpWorker;
use Rr\Http\Request;
use Rr\Http\Response;
use Rr\Kv\Storage;
use Rr\Lock\Lock;
use Rr\Logger\Logger;
use Rr\Metrics\Metrics;
use Rr\Rpc\Client;
use Rr\Services\Services;

// One connection to the server for all of it. It outlives restarts of whatever answers behind it.
$rpc = Client::fromEnvironment();
$session = new Storage($rpc, 'session');
$total = new Storage($rpc, 'total');
$lock = new Lock($rpc);
$metrics = new Metrics($rpc);
$logger = new Logger($rpc);
$services = new Services($rpc);

HttpWorker::fromEnvironment()->serve(
    static function (Request $request) use ($session, $total, $lock, $metrics, $logger, $services): Response {
        switch ($request->path()) {
            case '/':
                $metrics->add('visits', 1, [(string) \getmypid()]);
                return Response::json([
                    'worker' => \getmypid(),
                    'visits_since_the_start' => $session->incr('visits'),
                    'visits_ever' => $total->incr('visits'),
                ]);

            case '/exclusive':
                // Whichever worker it lands on: only one at a time is in here, and none waits for more than five seconds.
                $held = $lock->lock('report', ttl: 30, waitTTL: 5);
                if ($held === false) {
                    return Response::text("Somebody else is at it.\n", 409);
                }
                try {
                    \usleep(100_000);
                    $logger->info('the report is written', ['token' => $held->token]);
                    return Response::text("Done, as number $held->token.\n");
                } finally {
                    $held->release();
                }

            case '/services':
                $running = static fn(string $name): array => \array_map(
                    static fn($process): array => ['pid' => $process->pid, 'running' => $process->isRunning()],
                    $services->statuses($name),
                );
                $names = $services->list();
                return Response::json(\array_combine($names, \array_map($running, $names)));

            default:
                return Response::text("There is nothing here.\n", 404);
        }
    },
);
