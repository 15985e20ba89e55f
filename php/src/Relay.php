<?php

declare(strict_types=1);

namespace Rr;

use Rr\Exception\RelayException;

/**
 * The channel to the server: frames in, bytes out, over a pair of streams (pipes, or one socket twice).
 *
 * A read takes whatever has arrived, so that a usual request costs one system call for header and payload together;
 * what belongs to the next frame stays in the buffer.
 */
final class Relay
{
    /** One read of this size takes any usual request whole. */
    private const PIECE = 16 * 1024;
    /** A larger payload is read in pieces of this size, a full pipe each. */
    private const LARGE_PIECE = 64 * 1024;

    /** Bytes that were read ahead. */
    private string $buffer = '';

    /**
     * @param resource $in
     * @param resource $out
     */
    public function __construct(
        private $in,
        private $out,
    ) {
        // Our buffer is the only one: then select() tells the truth and each read is one system call.
        \stream_set_read_buffer($in, 0);
        \stream_set_write_buffer($out, 0);
    }

    /**
     * The relay that the server named in RR_RELAY.
     *
     * Descriptors 0 and 1 are given to /dev/null and to stderr afterwards: whatever the application or a program that
     * it starts prints lands in the log, and cannot break the channel.
     *
     * @param resource|null $output where printed text goes instead of stderr
     * @throws RelayException
     */
    public static function fromEnvironment($output = null): self
    {
        $address = (string) \getenv('RR_RELAY');
        $pipes = $address === '' || $address === 'pipes';
        if ($address === '' && \stream_isatty(\STDIN)) {
            throw new RelayException('this script is a worker: it is the server that starts it and talks to it');
        }
        $relay = $pipes ? self::pipes() : self::connect($address);
        self::replaceStandardStreams($output);
        return $relay;
    }

    /**
     * @param string $address `tcp://host:port` or `unix://path`
     * @param int    $timeout seconds that a read waits; a worker waits for work as long as it takes
     * @throws RelayException
     */
    public static function connect(string $address, int $timeout = 0x7fffffff): self
    {
        $socket = @\stream_socket_client($address, $code, $message, 10);
        if ($socket === false) {
            throw new RelayException("cannot connect to $address: $message");
        }
        \stream_set_timeout($socket, $timeout);
        return new self($socket, $socket);
    }

    /** @param int $timeout seconds that a read waits from now on */
    public function setTimeout(int $timeout): void
    {
        \stream_set_timeout($this->in, $timeout);
    }

    private static function pipes(): self
    {
        $in = \fopen('php://fd/0', 'r');
        $out = \fopen('php://fd/1', 'w');
        if ($in === false || $out === false) {
            throw new RelayException('stdin or stdout is not open');
        }
        return new self($in, $out);
    }

    /**
     * Closing a descriptor makes it the lowest free one, which the next stream then gets.
     *
     * @param resource|null $output
     */
    private static function replaceStandardStreams($output): void
    {
        static $kept = []; // Held open for the life of the process.
        \fclose(\STDIN);
        $kept[] = \fopen('/dev/null', 'r');
        \fclose(\STDOUT);
        $kept[] = \fopen($output === null ? 'php://stderr' : \stream_get_meta_data($output)['uri'], 'a+');
    }

    /**
     * The next frame, waiting for it; null when the server has closed the channel.
     *
     * @throws RelayException
     */
    public function read(): ?Frame
    {
        $bytes = $this->buffer;
        $this->buffer = '';
        $have = \strlen($bytes);
        while ($have < 12) {
            $piece = \fread($this->in, self::PIECE);
            if ($piece === '' || $piece === false) {
                $piece = $this->readAgain(self::PIECE);
                if ($piece === null) {
                    return $have === 0 ? null : throw new RelayException('the server closed the relay within a frame');
                }
            }
            $bytes = $have === 0 ? $piece : $bytes . $piece;
            $have = \strlen($bytes);
        }

        $version = \ord($bytes[0]);
        $start = ($version & 0x0f) * 4;
        ['l' => $length, 'c' => $crc, 's' => $stream] = \unpack('Vl/Vc/Cs', $bytes, 2);
        if ($version >> 4 !== 1 || $start < 12 || $start > 52 || \crc32(\substr($bytes, 0, 6)) !== $crc) {
            throw new RelayException('not a frame: ' . \bin2hex(\substr($bytes, 0, 32)));
        }
        $end = $start + $length;
        if ($have < $end) {
            $bytes = $this->complete($bytes, $end);
        } elseif ($have > $end) {
            $this->buffer = \substr($bytes, $end);
        }
        $options = match ($start) {
            12 => [],
            16 => [\unpack('V', $bytes, 12)[1]],
            default => \array_values(\unpack('V' . ($start / 4 - 3), $bytes, 12)),
        };
        return new Frame(\ord($bytes[1]), $stream, $options, $bytes, $start, $end);
    }

    /** Whether a frame, or the end of the channel, can be read without waiting for its first byte. */
    public function readable(): bool
    {
        if ($this->buffer !== '') {
            return true;
        }
        $read = [$this->in];
        $none = null;
        return \stream_select($read, $none, $none, 0) === 1;
    }

    /**
     * Writes all of it.
     *
     * @throws RelayException when the server is gone
     */
    public function write(string $bytes): void
    {
        $written = @\fwrite($this->out, $bytes);
        while ($written !== \strlen($bytes)) {
            if ($written === false || $written === 0) {
                throw new RelayException('the server has closed the relay');
            }
            $bytes = \substr($bytes, $written);
            $written = @\fwrite($this->out, $bytes);
        }
    }

    /** Reads on until the frame is whole. */
    private function complete(string $bytes, int $end): string
    {
        $missing = $end - \strlen($bytes);
        while ($missing > 0) {
            $size = \min($missing, self::LARGE_PIECE);
            $piece = \fread($this->in, $size);
            if ($piece === '' || $piece === false) {
                $piece = $this->readAgain($size) ?? throw new RelayException('the server closed the relay within a frame');
            }
            $bytes .= $piece;
            $missing -= \strlen($piece);
        }
        return $bytes;
    }

    /** After a read that brought nothing: null at the end of the channel; otherwise a signal has interrupted it. */
    private function readAgain(int $size): ?string
    {
        for ($tries = 0; !\feof($this->in); $tries++) {
            if ($tries === 1000 || \stream_get_meta_data($this->in)['timed_out']) {
                throw new RelayException('nothing came in time');
            }
            $piece = \fread($this->in, $size);
            if ($piece !== '' && $piece !== false) {
                return $piece;
            }
        }
        return null;
    }
}
