<?php

declare(strict_types=1);

use Rr\Frame;
use Rr\Relay;
use Rr\Worker;

/**
 * The server's end of a relay: to a worker in this process, over a socket pair, or to a script in a process of its own,
 * over its stdin and stdout. What arrives within ten seconds counts.
 */
final class Peer
{
    public readonly Relay $relay;
    /** The other end, for a worker in this process. */
    public readonly ?Relay $other;
    /** @var resource|null */
    private $process = null;
    /** @var resource */
    private $out;
    private ?string $errors = null;

    public static function pair(): self
    {
        [$mine, $theirs] = \stream_socket_pair(\STREAM_PF_UNIX, \STREAM_SOCK_STREAM, 0);
        \stream_set_timeout($mine, 10);
        $peer = new self();
        $peer->relay = new Relay($mine, $mine);
        $peer->other = new Relay($theirs, $theirs);
        $peer->out = $mine;
        return $peer;
    }

    /** @param list<string> $command */
    public static function start(array $command): self
    {
        $peer = new self();
        $peer->errors = (string) \tempnam(\sys_get_temp_dir(), 'rr');
        $pipes = [['pipe', 'r'], ['pipe', 'w'], ['file', $peer->errors, 'a']];
        $peer->process = \proc_open($command, $pipes, $ends, null, ['RR_RELAY' => 'pipes'] + \getenv());
        $peer->relay = new Relay($ends[1], $ends[0]);
        $peer->out = $ends[0];
        $peer->other = null;
        return $peer;
    }

    public function worker(): Worker
    {
        return new Worker($this->other);
    }

    /** Sends a request with this message and body. */
    public function ask(string $message, string $body = ''): void
    {
        $this->relay->write(Frame::answer($message, $body, Frame::PROTO));
    }

    public function stop(): void
    {
        $this->relay->write(Frame::plain('{"stop":true}', Frame::CONTROL | Frame::JSON));
    }

    public function streamStop(): void
    {
        $this->relay->write(hex('13 00 00000000 96d18034 02 00'));
    }

    /** The next frame. */
    public function frame(): Frame
    {
        for ($end = \microtime(true) + 10; !$this->relay->readable();) {
            \microtime(true) < $end or throw new \AssertionError('no frame came');
            \usleep(1000);
        }
        return $this->relay->read() ?? throw new \AssertionError('the worker closed its relay: ' . $this->errors());
    }

    /** Asks, and takes one whole answer. */
    public function get(string $message, string $body = ''): Reply
    {
        $this->ask($message, $body);
        return $this->reply();
    }

    public function reply(): Reply
    {
        $parts = [];
        do {
            $parts[] = $frame = $this->frame();
        } while ($frame->stream & Frame::STREAM);
        return new Reply($parts);
    }

    /** The process id of the script. */
    public function pid(): int
    {
        return \proc_get_status($this->process)['pid'];
    }

    /** What the script has written to stderr. */
    public function errors(): string
    {
        return $this->errors === null ? '' : (string) \file_get_contents($this->errors);
    }

    /** The exit code of the script, which is told to stop if it has not. */
    public function end(): int
    {
        try {
            $this->stop();
        } catch (\Rr\Exception\RelayException) {
            // It has ended already.
        }
        \fclose($this->out);
        return \proc_close($this->process);
    }

    public function __destruct()
    {
        $this->errors === null or \unlink($this->errors);
    }
}

/** An answer of one or more frames. */
final class Reply
{
    public readonly int $status;
    /** @var array<string, list<string>> */
    public readonly array $headers;
    public readonly string $body;
    public readonly int $flags;

    /** @param list<Frame> $parts */
    public function __construct(public readonly array $parts)
    {
        [$this->status, $this->headers] = response_head($parts[0]->context());
        $this->body = \implode('', \array_map(static fn (Frame $part): string => $part->body(), $parts));
        $this->flags = $parts[0]->flags;
    }

    public function header(string $name): string
    {
        return \implode(' | ', $this->headers[$name] ?? []);
    }
}
