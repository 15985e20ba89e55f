<?php

/** The least that PHP can do: reads a frame, decodes nothing, writes the same bytes each time. */

declare(strict_types=1);

use Rr\Frame;
use Rr\Http\ResponseEncoder;

\stream_set_read_buffer(\STDIN, 0);
$answer = Frame::answer(ResponseEncoder::encode(200, ['Content-Type' => 'text/plain']), 'hello', Frame::PROTO);
for ($buffer = ''; ($piece = \fread(\STDIN, 16384)) !== '' && $piece !== false;) {
    $buffer .= $piece;
    while (\strlen($buffer) >= 12) {
        $end = (\ord($buffer[0]) & 0x0f) * 4 + \unpack('V', $buffer, 2)[1];
        if (\strlen($buffer) < $end) {
            break;
        }
        if (\ord($buffer[1]) & Frame::CONTROL) {
            exit;
        }
        $buffer = \substr($buffer, $end);
        \fwrite(\STDOUT, $answer);
    }
}
