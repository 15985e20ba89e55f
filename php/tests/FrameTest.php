<?php

declare(strict_types=1);

use Rr\Frame;

// Frames as they were captured from a running server and from the public packages.
return [
    'pid answer' => static fn () => same(
        hex('13 01 0c000000 9e473643 00 00') . '{"pid":1234}',
        Frame::plain('{"pid":1234}', Frame::CONTROL),
    ),
    'error' => static fn () => same(hex('13 40 04000000 881e11e3 00 00') . 'boom', Frame::plain('boom', Frame::ERROR)),
    'answer without context' => static fn () => same(
        hex('14 00 02000000 a5298c83 00 00 00000000') . 'hi',
        Frame::answer('', 'hi', 0),
    ),
    'wish to be replaced' => static fn () => same(
        hex('14 00 0d000000 f339efdb 00 00 0d000000') . '{"stop":true}',
        Frame::answer('{"stop":true}', '', 0),
    ),
    'piece of a stream' => static fn () => same(
        hex('14 80 12000000 a8ce7362 01 00 0f000000'),
        \substr(Frame::answer(\str_repeat('c', 15), 'c1|', Frame::PROTO, Frame::STREAM), 0, 16),
    ),
    'call' => static fn () => same(
        hex('15 08 0f000000 1c69ca8a 00 00 01000000 0b000000') . 'rpc.Versiontrue',
        Frame::call(1, 'rpc.Version', 'true', Frame::JSON),
    ),
    'a context longer than the payload ends with the payload' => static function (): void {
        $frame = new Frame(0, 0, [100], '....abc....', 4, 7);
        same('abc', $frame->context());
        same('', $frame->body());
        same('abc', $frame->payload());
    },
];
