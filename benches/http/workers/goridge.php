<?php

/** The worker's side of the relay in as few lines as possible, shared by the workers here. */

declare(strict_types=1);

const CONTROL = 0x01;
const PROTO = 0x80;

function frame(int $flags, string $payload, int ...$options): string
{
    $head = chr(0x13 + count($options)) . chr($flags) . pack('V', strlen($payload));

    return $head . pack('V', crc32($head)) . "\0\0" . pack('V*', ...$options) . $payload;
}

function varint(int $number): string
{
    for ($bytes = ''; $number > 127; $number >>= 7) {
        $bytes .= chr($number & 127 | 128);
    }

    return $bytes . chr($number);
}

/** Field `$number` of a protobuf message, length-delimited. */
function field(int $number, string $value): string
{
    return chr($number << 3 | 2) . varint(strlen($value)) . $value;
}

/** @param resource $in */
function take($in, int $length): string
{
    $bytes = '';
    while (($left = $length - strlen($bytes)) > 0) {
        $more = fread($in, $left);
        if ($more === false || $more === '') {
            exit(0); // the server closed the pipe
        }
        $bytes .= $more;
    }

    return $bytes;
}

/**
 * Answers requests until the server ends it.
 *
 * @param callable(string $context, string $body): string $answer returns a whole frame
 */
function work_loop(callable $answer): never
{
    $in = fopen('php://stdin', 'rb');
    $out = fopen('php://stdout', 'wb');
    stream_set_read_buffer($in, 65536);
    while (true) {
        $head = take($in, 12);
        $options = ((ord($head[0]) & 0x0F) - 3) * 4;
        $payload = take($in, $options + unpack('V', $head, 2)[1]);
        if ((ord($head[1]) & CONTROL) === 0) {
            $context = $options >= 4 ? unpack('V', $payload)[1] : 0;
            fwrite($out, $answer(substr($payload, $options, $context), substr($payload, $options + $context)));
            continue;
        }
        $command = json_decode(substr($payload, $options), true);
        if (isset($command['stop'])) {
            exit(0);
        }
        if (isset($command['pid'])) {
            fwrite($out, frame(CONTROL, json_encode(['pid' => getmypid()])));
        }
    }
}
