<?php

declare(strict_types=1);

namespace Rr;

use Rr\Exception\RelayException;

/**
 * The worker's side of the conversation with the server: one request, one answer, in turn.
 *
 * ```php
 * $worker = Worker::fromEnvironment();
 * while (($request = $worker->receive()) !== null) {
 *     $worker->answer('{}', strrev($request->body()));
 * }
 * ```
 *
 * The handshake, the stop command and late stream signals are dealt with inside. One that gets null leaves its loop
 * and lets the process end.
 */
final class Worker
{
    /** The answer with which a worker asks to be replaced, byte for byte as the server expects it. */
    private const REPLACE_ME = '{"stop":true}';

    /** A body from this length on is written by itself: that costs a system call, but no copy. */
    private const LARGE = 256 * 1024;

    /** Requests that came while a stream was looked after. */
    private array $queued = [];
    /** The server has said stop, or has closed. */
    private bool $stopping = false;
    /** The codec of the request being worked on; answers carry the same. */
    private int $codec = 0;

    public function __construct(private readonly Relay $relay)
    {
    }

    /** @throws RelayException */
    public static function fromEnvironment(): self
    {
        return new self(Relay::fromEnvironment());
    }

    /**
     * The next request, waiting for it; null when this worker shall end.
     *
     * @throws RelayException
     */
    public function receive(): ?Frame
    {
        if ($this->queued !== []) {
            $frame = \array_shift($this->queued);
            $this->codec = $frame->flags;
            return $frame;
        }
        while (!$this->stopping && ($frame = $this->relay->read()) !== null) {
            if ($frame->flags & Frame::CONTROL) {
                $this->command($frame);
            } elseif (($frame->stream & (Frame::STOP | Frame::PONG)) === 0) { // else: for a stream that is over
                $this->codec = $frame->flags;
                return $frame;
            }
        }
        $this->stopping = true;
        return null;
    }

    /**
     * Answers, wholly or, with `$more`, in part.
     *
     * @throws RelayException
     */
    public function answer(string $context, string $body, bool $more = false): void
    {
        $length = \strlen($body);
        $head = Frame::answerHead($context, $length, $this->codec, $more ? Frame::STREAM : 0);
        if ($length < self::LARGE) {
            $this->relay->write($head . $body);
        } else {
            $this->relay->write($head);
            $this->relay->write($body);
        }
    }

    /**
     * Answers with an error. The worker goes on; a stream that has begun is broken off.
     *
     * @throws RelayException
     */
    public function error(string $text): void
    {
        $this->relay->write(Frame::plain($text, Frame::ERROR));
    }

    /**
     * Instead of an answer: lets another worker do this request, and this one be replaced.
     *
     * @throws RelayException
     */
    public function replace(): void
    {
        $this->relay->write(Frame::answer(self::REPLACE_ME, '', $this->codec));
    }

    /**
     * After an answer: asks to be replaced, then waits for the stop command.
     *
     * A request that the server hands over before it has read this is taken over by another worker, so nothing is lost
     * when the process ends.
     */
    public function retire(): void
    {
        try {
            $this->replace();
            while ($this->receive() !== null) {
                // Not ours any more.
            }
        } catch (RelayException) {
            // The server is gone: there is nobody left to tell.
        }
    }

    /**
     * Between two parts of an answer: whether the server has said that nobody reads the stream any more. Does not wait.
     *
     * @throws RelayException
     */
    public function streamStopped(): bool
    {
        while (!$this->stopping && $this->relay->readable()) {
            $frame = $this->relay->read();
            if ($frame === null) {
                $this->stopping = true;
            } elseif ($frame->flags & Frame::CONTROL) {
                $this->command($frame);
            } elseif ($frame->stream & Frame::STOP) {
                return true;
            } elseif (($frame->stream & Frame::PONG) === 0) {
                $this->queued[] = $frame;
            }
        }
        return false;
    }

    /** The pid handshake or the stop command. */
    private function command(Frame $frame): void
    {
        $command = \json_decode($frame->payload(), true);
        if (isset($command['pid'])) {
            $this->relay->write(Frame::plain(\json_encode(['pid' => \getmypid()]), Frame::CONTROL));
        } elseif (isset($command['stop'])) {
            $this->stopping = true;
        }
    }
}
