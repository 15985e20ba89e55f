<?php

declare(strict_types=1);

use Rr\Exception\RelayException;
use Rr\Frame;
use Rr\Relay;

/** @return array{resource, Relay} */
$pair = static function (): array {
    [$mine, $theirs] = \stream_socket_pair(\STREAM_PF_UNIX, \STREAM_SOCK_STREAM, 0);
    return [$mine, new Relay($theirs, $theirs)];
};

return [
    'frames that arrive together are read one by one' => static function () use ($pair): void {
        [$mine, $relay] = $pair();
        \fwrite($mine, Frame::answer('head', 'body', Frame::PROTO) . Frame::plain('x', Frame::CONTROL) . Frame::plain('', 0));
        $first = $relay->read();
        same(['head', 'body', Frame::PROTO, [4]], [$first->context(), $first->body(), $first->flags, $first->options]);
        same(true, $relay->readable());
        same('x', $relay->read()->payload());
        same('', $relay->read()->payload());
        same(false, $relay->readable());
    },
    'a frame that arrives byte by byte is read whole' => static function (): void {
        $bytes = Frame::call(7, 'm', 'argument', Frame::JSON);
        $script = 'foreach (str_split(base64_decode($argv[1])) as $byte) { echo $byte; usleep(300); }';
        $process = \proc_open([\PHP_BINARY, '-r', $script, \base64_encode($bytes)], [1 => ['pipe', 'w']], $pipes);
        $relay = new Relay($pipes[1], \fopen('php://memory', 'w'));
        $frame = $relay->read();
        same([7, 1], $frame->options);
        same('margument', $frame->payload());
        same(null, $relay->read());
        \proc_close($process);
    },
    'a payload larger than any buffer' => static function (): void {
        $file = \tmpfile();
        $body = \random_bytes(1 << 20);
        \fwrite($file, Frame::answer('head', $body, 0) . Frame::plain('next', 0));
        \rewind($file);
        $relay = new Relay($file, \fopen('php://memory', 'w'));
        same(true, $body === $relay->read()->body());
        same('next', $relay->read()->payload());
    },
    'the end between frames is the end, within one an error' => static function () use ($pair): void {
        [$mine, $relay] = $pair();
        \fwrite($mine, Frame::plain('x', 0));
        \fclose($mine);
        same('x', $relay->read()->payload());
        same(null, $relay->read());
        foreach ([5, 12, 14] as $count) {
            [$mine, $relay] = $pair();
            \fwrite($mine, \substr(Frame::plain('four', 0), 0, $count));
            \fclose($mine);
            throws(RelayException::class, static fn () => $relay->read());
        }
    },
    'a signal does not end the wait' => static function (): void {
        $script = 'usleep(100000); posix_kill(posix_getppid(), SIGUSR1); usleep(100000); echo base64_decode($argv[1]);';
        $command = [\PHP_BINARY, '-r', $script, \base64_encode(Frame::plain('after', 0))];
        \pcntl_async_signals(true);
        \pcntl_signal(\SIGUSR1, static fn () => null, false);
        $process = \proc_open($command, [1 => ['pipe', 'w']], $pipes);
        same('after', @(new Relay($pipes[1], \fopen('php://memory', 'w')))->read()->payload());
        \proc_close($process);
        \pcntl_signal(\SIGUSR1, \SIG_DFL);
    },
    'what is no frame is an error' => static function () use ($pair): void {
        $good = Frame::plain('', 0);
        foreach (['PHP Warning: something', "\x23" . \substr($good, 1), "\x12" . \substr($good, 1), "\x1e" . \substr($good, 1)] as $bytes) {
            [$mine, $relay] = $pair();
            \fwrite($mine, $bytes);
            throws(RelayException::class, static fn () => $relay->read());
        }
    },
    'writing to a peer that is gone is an error' => static function () use ($pair): void {
        [$mine, $relay] = $pair();
        \fclose($mine);
        throws(RelayException::class, static fn () => $relay->write('bytes'));
    },
];
