<?php

/** A small server of RPC calls for the tests: one connection after the other. */

declare(strict_types=1);

require __DIR__ . '/../../autoload.php';

use Rr\Frame;
use Rr\Relay;

$server = \stream_socket_server("unix://$argv[1]") ?: exit(1);
echo "ready\n";
$last = '';
while (($socket = \stream_socket_accept($server, -1)) !== false) {
    $relay = new Relay($socket, $socket);
    while (($frame = $relay->read()) !== null) {
        [$id, $split] = $frame->options;
        $method = \substr($frame->payload(), 0, $split);
        $argument = \substr($frame->payload(), $split);
        $answer = static fn (string $result, int $flags = 0) => $relay->write(
            Frame::call($id, $method, $result, $frame->flags | $flags),
        );
        $running = ['pid' => 7, 'command' => 'sleep 1', 'cpu_percent' => 1.5, 'memory_usage' => 4096];
        $ended = ['pid' => 8, 'command' => 'sleep 1', 'status' => ['message' => 'exit status 1']];
        $echo = static fn (): string => \json_encode(\json_decode($argument, true) + ['id' => $id], \JSON_PRESERVE_ZERO_FRACTION);
        if (\str_starts_with($method, 'lock.')) {
            $last = \json_encode([$method, \json_decode($argument)]);
            $answer(\str_contains($argument, 'taken') ? '{}' : '{"ok":true,"token":7}');
            continue;
        }
        match ($method) {
            'fake.Echo' => $answer($echo()),
            'fake.Empty' => $answer(''),
            'fake.Bytes' => $answer($argument),
            'fake.Fail' => $answer("it failed: $argument", Frame::ERROR),
            'fake.Late' => [$relay->write(Frame::call(999, $method, '"late"', Frame::JSON)), $answer($echo())],
            'fake.Close' => null,
            'fake.Silent' => \usleep(1_300_000),
            'fake.Slow' => [\usleep(1_200_000), $answer('true')],
            'fake.Last' => $answer($last),
            'service.Create' => $answer($argument, Frame::ERROR),
            'service.Restart', 'service.Terminate' => $answer('{"ok":true}'),
            'service.Statuses' => $answer(\json_encode(['status' => [$running, $ended]])),
            'service.Status' => $answer(\json_encode($running)),
            'service.List' => $answer('{}'),
        };
        if ($method === 'fake.Close' || $method === 'fake.Silent') {
            break;
        }
    }
    \fclose($socket);
}
