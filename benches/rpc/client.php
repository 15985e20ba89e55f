<?php

// One PHP client: sends the same call again and again over one connection, and waits for each answer.
//
//     php client.php tcp://127.0.0.1:6001 CALL ANSWER SECONDS
//
// CALL and ANSWER are frames in hexadecimal; the sequence number in them counts. Prints "ready", waits for a line, and then prints how
// many calls there were, and the mean and the quantiles of their time in nanoseconds, as JSON.

declare(strict_types=1);

[, $address, $call, $answer, $seconds] = $argv;
$call = \hex2bin($call);
$answer = \hex2bin($answer);
$size = \strlen($answer);
$context = \stream_context_create(['socket' => ['tcp_nodelay' => true]]);
$server = \stream_socket_client($address, $number, $text, 5, \STREAM_CLIENT_CONNECT, $context) ?: exit("$text\n");
\stream_set_read_buffer($server, 0);

[$before, $after] = [\substr($call, 0, 12), \substr($call, 16)];
[$head, $rest] = [\substr($answer, 0, 12), \substr($answer, 16)];
$times = [];
$count = 0;

$once = static function (int $sequence) use ($server, $before, $after, $head, $rest, $size): void {
    $number = \pack('V', $sequence);
    \fwrite($server, $before . $number . $after);
    $got = '';
    while (\strlen($got) < $size) {
        $piece = \fread($server, $size - \strlen($got));
        $piece !== '' && $piece !== false || exit("the server has closed\n");
        $got .= $piece;
    }
    $got === $head . $number . $rest || exit('another answer: ' . \bin2hex($got) . "\n");
};

for ($i = 0; $i < 2000; $i++) {
    $once(++$count);
}
echo "ready\n";
\fgets(\STDIN);
$start = $now = \hrtime(true);
$end = $start + (int) ($seconds * 1e9);
while ($now < $end) {
    $once(++$count);
    $times[] = ($then = \hrtime(true)) - $now;
    $now = $then;
}
\sort($times);
$calls = \count($times);
echo \json_encode([
    'calls' => $calls,
    'mean' => ($now - $start) / $calls,
    'p50' => $times[$calls >> 1],
    'p99' => $times[(int) ($calls * 0.99)],
]), "\n";
