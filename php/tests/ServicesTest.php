<?php

declare(strict_types=1);

use Rr\Exception\RpcException;
use Rr\Rpc\Client;
use Rr\Services\Services;

/** The fake server of {@see RpcTest.php}, which fails `service.Create` with what it was asked. */
$with = static function (callable $test): void {
    $path = \sys_get_temp_dir() . '/rr-services-' . \getmypid() . '.sock';
    $process = \proc_open([\PHP_BINARY, __DIR__ . '/Support/rpc-server.php', $path], [1 => ['pipe', 'w']], $pipes);
    same("ready\n", \fgets($pipes[1]));
    try {
        $test(new Services(new Client("unix://$path", 1)));
    } finally {
        \proc_terminate($process);
        \proc_close($process);
        @\unlink($path);
    }
};

return [
    'a service is asked for in the names of the server' => static fn () => $with(static function (Services $services): void {
        $error = throws(RpcException::class, static fn () => $services->create('a', 'sleep 1', 2, env: ['X' => '1']));
        $asked = \json_decode($error->getMessage(), true);
        same(['name' => 'a', 'command' => 'sleep 1', 'process_num' => 2, 'exec_timeout' => 0], \array_slice($asked, 0, 4));
        same(['X' => '1'], $asked['env']);
        same([false, 30, false, 5], [
            $asked['remain_after_exit'], $asked['restart_sec'], $asked['service_name_in_logs'], $asked['timeout_stop_sec'],
        ]);
        $error = throws(RpcException::class, static fn () => $services->create('a', 'sleep 1'));
        same(true, \str_contains($error->getMessage(), '"env":{}'));
    }),
    'processes come with what the server leaves out' => static fn () => $with(static function (Services $services): void {
        [$running, $ended] = $services->statuses('a');
        same([7, 'sleep 1', 1.5, 4096, true], [$running->pid, $running->command, $running->cpu, $running->memory, $running->isRunning()]);
        same([8, 0.0, 0, false, 'exit status 1'], [$ended->pid, $ended->cpu, $ended->memory, $ended->isRunning(), $ended->error]);
        same(7, $services->status('a')->pid);
        same([], $services->list());
    }),
    'restart and terminate answer nothing' => static fn () => $with(static function (Services $services): void {
        $services->restart('a');
        $services->terminate('a');
        same(true, true);
    }),
];
