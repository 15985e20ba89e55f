<?php

declare(strict_types=1);

namespace Rr;

/**
 * One goridge frame as it was received, and the encoding of those to send.
 *
 * Layout: version and header length, flags, payload length (4), CRC-32 of those six bytes (4), stream bits, a zero;
 * then the options of four bytes each, then the payload. Numbers are little-endian.
 *
 * A received frame stays in the buffer it was read into; {@see context()} and {@see body()} cut out copies on demand.
 */
final class Frame
{
    public const CONTROL = 0x01;
    public const RAW = 0x04;
    public const JSON = 0x08;
    public const ERROR = 0x40;
    public const PROTO = 0x80;

    /** More frames of this answer follow. */
    public const STREAM = 0x01;
    /** To a worker: end the stream that you are sending. */
    public const STOP = 0x02;
    public const PING = 0x04;
    public const PONG = 0x08;

    /**
     * @param int       $flags   codec, control and error bits
     * @param int       $stream  stream bits
     * @param list<int> $options
     * @param string    $bytes   a buffer with the payload in it
     * @param int       $start   where the payload begins in the buffer
     * @param int       $end     where it ends
     */
    public function __construct(
        public readonly int $flags,
        public readonly int $stream,
        public readonly array $options,
        public readonly string $bytes,
        public readonly int $start,
        public readonly int $end,
    ) {
    }

    /** Where the context ends and the body begins in the buffer. */
    public function split(): int
    {
        return \min($this->start + ($this->options[0] ?? 0), $this->end);
    }

    public function context(): string
    {
        return \substr($this->bytes, $this->start, $this->split() - $this->start);
    }

    public function body(): string
    {
        $split = $this->split();
        return $split === $this->end ? '' : \substr($this->bytes, $split, $this->end - $split);
    }

    public function payload(): string
    {
        return \substr($this->bytes, $this->start, $this->end - $this->start);
    }

    /** A frame without options. */
    public static function plain(string $payload, int $flags): string
    {
        $head = \pack('CCV', 0x13, $flags, \strlen($payload));
        return $head . \pack('Vv', \crc32($head), 0) . $payload;
    }

    /** A worker's answer: one option, the length of the context. */
    public static function answer(string $context, string $body, int $flags, int $stream = 0): string
    {
        return self::answerHead($context, \strlen($body), $flags, $stream) . $body;
    }

    /** An answer up to its body, for bodies that are too large to copy. */
    public static function answerHead(string $context, int $bodyLength, int $flags, int $stream = 0): string
    {
        $split = \strlen($context);
        $head = \pack('CCV', 0x14, $flags, $split + $bodyLength);
        return $head . \pack('VvV', \crc32($head), $stream, $split) . $context;
    }

    /** An RPC request or answer: two options, the sequence id and the length of the method's name. */
    public static function call(int $id, string $method, string $argument, int $flags): string
    {
        $split = \strlen($method);
        $head = \pack('CCV', 0x15, $flags, $split + \strlen($argument));
        return $head . \pack('VvVV', \crc32($head), 0, $id, $split) . $method . $argument;
    }
}
