<?php

declare(strict_types=1);

require __DIR__ . '/../../php/autoload.php';

use Rr\Http\HttpWorker;
use Rr\Http\Request;
use Rr\Http\Response;

// Whatever is set up here is set up once: this process answers many requests.
$started = \date('H:i:s');
$count = 0;

HttpWorker::fromEnvironment()->serve(static function (Request $request) use ($started, &$count): Response {
    $count++;
    return match ($request->path()) {
        '/' => Response::text(\sprintf(
            "Hello from process %d, started at %s; this is its request number %d.\n",
            \getmypid(),
            $started,
            $count,
        )),
        '/echo' => Response::json([
            'method' => $request->method,
            'query' => $request->query(),
            'headers' => $request->headers,
            'body' => $request->body,
        ]),
        '/stream' => new Response(200, countdown(), ['Content-Type' => 'text/plain']),
        '/fail' => throw new \RuntimeException('This goes to the log; the client gets status 500.'),
        default => Response::text("There is nothing here.\n", 404),
    };
});

/** A body that goes out piece by piece. If the client goes away the generator is stopped at its `yield`. */
function countdown(): \Generator
{
    foreach (\range(5, 1) as $second) {
        yield "$second\n";
        \usleep(200_000);
    }
    yield "done\n";
}
