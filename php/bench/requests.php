<?php

/**
 * What one request costs in PHP: µs of processor time per request, for a raw worker without any library and for ours.
 *
 *     php php/bench/requests.php [requests]
 *
 * Each worker is a process of its own that gets the same frame again and again over pipes, eight in flight, so that it
 * never waits; its own user and system time is what counts. Run it a few times, and with opcache and JIT:
 * `PHP_BENCH_OPTIONS="-d opcache.enable_cli=1 -d opcache.jit=tracing -d opcache.jit_buffer_size=16M"`.
 */

declare(strict_types=1);

require __DIR__ . '/../autoload.php';
require __DIR__ . '/../tests/Support/messages.php';

use Rr\Frame;

if (($argv[1] ?? '') === 'worker') {
    require __DIR__ . "/worker-$argv[2].php";
    exit;
}

$count = (int) ($argv[1] ?? 100_000);
$options = \array_filter(\explode(' ', (string) \getenv('PHP_BENCH_OPTIONS')));
$frames = [
    'small GET' => Frame::answer(request_message('GET', 'http://localhost/?a=1', ['User-Agent' => ['curl/8']]), '', Frame::PROTO),
    'browser GET' => Frame::answer(request_message('GET', 'http://localhost/page?a=1', browser_headers()), '', Frame::PROTO),
];
\printf("%-12s %-22s %10s %10s\n", 'request', 'worker', 'user µs', 'system µs');
foreach ($frames as $name => $frame) {
    foreach (['raw', 'frames', 'http', 'classic'] as $kind) {
        [$user, $system] = measure($kind, $frame, $count, $options);
        \printf("%-12s %-22s %10.2f %10.2f\n", $name, $kind, $user, $system);
    }
}

/** @return array{float, float} user and system µs for one request */
function measure(string $kind, string $frame, int $count, array $options): array
{
    $command = [\PHP_BINARY, ...$options, __FILE__, 'worker', $kind];
    $process = \proc_open($command, [['pipe', 'r'], ['pipe', 'w'], \STDERR], $pipes, null, ['RR_RELAY' => 'pipes'] + \getenv());
    [$in, $out] = $pipes;
    \stream_set_read_buffer($out, 0);
    $exchange = static function (int $count) use ($in, $out, $frame): void {
        \fwrite($in, \str_repeat($frame, 8));
        $length = null;
        $got = '';
        for ($sent = 8, $answered = 0; $answered < $count;) {
            $got .= \fread($out, 65536);
            $length ??= 12 + 4 + \unpack('V', $got, 2)[1];
            $whole = \intdiv(\strlen($got), $length);
            $got = \substr($got, $whole * $length);
            $answered += $whole;
            $next = \min($whole, $count - $sent);
            $next > 0 and \fwrite($in, \str_repeat($frame, $next));
            $sent += \max($next, 0);
        }
    };
    $pid = \proc_get_status($process)['pid'];
    $exchange(1000);
    $before = times($pid);
    $exchange($count);
    $after = times($pid);
    \fwrite($in, Frame::plain('{"stop":true}', Frame::CONTROL | Frame::JSON));
    \proc_close($process);
    return [($after[0] - $before[0]) / $count * 1e4, ($after[1] - $before[1]) / $count * 1e4];
}

/** @return array{int, int} user and system time of a process in ticks of 10 ms */
function times(int $pid): array
{
    $fields = \explode(' ', (string) \file_get_contents("/proc/$pid/stat"));
    return [(int) $fields[13], (int) $fields[14]];
}
