<?php

/**
 * The worker's side of the wire, written out by hand for the tests: goridge frames and the two protobuf messages of
 * HTTP. Deliberately free of our library, so that the server is tested against the bytes and not against our reading
 * of them. Nothing here is fast.
 */

declare(strict_types=1);

namespace Wire;

const CONTROL = 0x01;
const RAW = 0x04;
const JSON = 0x08;
const ERROR = 0x40;
const PROTO = 0x80;

const STREAM = 0x01;
const STOP = 0x02;
const PING = 0x04;
const PONG = 0x08;

/** One frame as it came. */
final class Frame
{
    /** @param list<int> $options */
    public function __construct(
        public int $flags,
        public int $stream,
        public array $options,
        public string $payload,
    ) {
    }

    public function context(): string
    {
        return \substr($this->payload, 0, $this->options[0] ?? 0);
    }

    public function body(): string
    {
        return \substr($this->payload, $this->options[0] ?? 0);
    }
}

/** The relay named by RR_RELAY. */
final class Relay
{
    /** @var resource */
    private $in;
    /** @var resource */
    private $out;

    public function __construct()
    {
        $relay = (string) \getenv('RR_RELAY');
        if ($relay === '' || $relay === 'pipes') {
            [$this->in, $this->out] = [\STDIN, \STDOUT];
            return;
        }
        $socket = \stream_socket_client($relay) ?: throw new \RuntimeException("cannot connect to $relay");
        \stream_set_timeout($socket, 86400);
        [$this->in, $this->out] = [$socket, $socket];
    }

    /** The next frame; null when the server has closed. */
    public function read(): ?Frame
    {
        $head = $this->bytes(12);
        if ($head === null) {
            return null;
        }
        $words = (\ord($head[0]) & 0x0f) - 3;
        if (\ord($head[0]) >> 4 !== 1 || $words < 0 || \unpack('V', $head, 6)[1] !== \crc32(\substr($head, 0, 6))) {
            throw new \RuntimeException('not a frame: ' . \bin2hex($head));
        }
        $options = $words > 0 ? \array_values(\unpack('V*', $this->bytes($words * 4))) : [];
        $length = \unpack('V', $head, 2)[1];
        $payload = $length > 0 ? $this->bytes($length) : '';
        return new Frame(\ord($head[1]), \ord($head[10]), $options, $payload);
    }

    /** Whether something can be read without waiting. */
    public function readable(): bool
    {
        [$read, $none] = [[$this->in], null];
        return \stream_select($read, $none, $none, 0) === 1;
    }

    public function write(string $bytes): void
    {
        while ($bytes !== '') {
            $bytes = \substr($bytes, \fwrite($this->out, $bytes) ?: throw new \RuntimeException('the server is gone'));
        }
        \fflush($this->out);
    }

    private function bytes(int $count): ?string
    {
        $bytes = '';
        while (\strlen($bytes) < $count) {
            $piece = \fread($this->in, $count - \strlen($bytes));
            if ($piece === false || $piece === '') {
                return $bytes === '' ? null : throw new \RuntimeException('the server closed within a frame');
            }
            $bytes .= $piece;
        }
        return $bytes;
    }
}

/** @param list<int> $options */
function frame(string $payload, int $flags, int $stream = 0, array $options = []): string
{
    $head = \pack('CCV', 0x13 + \count($options), $flags, \strlen($payload));
    return $head . \pack('VCC', \crc32($head), $stream, 0) . \pack('V*', ...$options) . $payload;
}

/** An answer: context and body in one frame. */
function answer(string $context, string $body, int $stream = 0, int $flags = PROTO): string
{
    return frame($context . $body, $flags, $stream, [\strlen($context)]);
}

/**
 * `http.v1.Response`.
 *
 * @param array<string, string|list<string>> $headers
 */
function response(int $status, array $headers = []): string
{
    $bytes = "\x08" . varint($status);
    foreach ($headers as $name => $values) {
        $list = '';
        foreach ((array) $values as $value) {
            $list .= field(1, $value);
        }
        $bytes .= field(2, field(1, (string) $name) . field(2, $list));
    }
    return $bytes;
}

/** `http.v1.Request` as an array with the names of its fields. */
function request(string $context): array
{
    $request = [
        'remote_addr' => '', 'protocol' => '', 'method' => '', 'uri' => '', 'header' => [], 'cookies' => [],
        'raw_query' => '', 'parsed' => false, 'uploads' => '', 'attributes' => [],
    ];
    $names = \array_keys($request);
    foreach (fields($context) as [$number, $value]) {
        $name = $names[$number - 1] ?? throw new \RuntimeException("unknown field $number");
        if (\is_array($request[$name])) {
            $entry = \array_column(fields($value), 1, 0);
            $request[$name][$entry[1] ?? ''] = \array_column(fields($entry[2] ?? ''), 1);
        } else {
            $request[$name] = $name === 'parsed' ? $value !== 0 : $value;
        }
    }
    return $request;
}

/** @return list<array{int, int|string}> number and value of each field */
function fields(string $bytes): array
{
    $fields = [];
    for ($at = 0; $at < \strlen($bytes);) {
        $tag = read_varint($bytes, $at);
        $value = read_varint($bytes, $at);
        if (($tag & 7) === 2) {
            [$length, $value] = [$value, \substr($bytes, $at, $value)];
            $at += $length;
        }
        $fields[] = [$tag >> 3, $value];
    }
    return $fields;
}

function field(int $number, string $value): string
{
    return varint($number << 3 | 2) . varint(\strlen($value)) . $value;
}

function varint(int $value): string
{
    for ($bytes = ''; $value >= 0x80; $value >>= 7) {
        $bytes .= \chr($value & 0x7f | 0x80);
    }
    return $bytes . \chr($value);
}

function read_varint(string $bytes, int &$at): int
{
    for ($value = $shift = 0; ; $shift += 7) {
        $byte = \ord($bytes[$at++]);
        $value |= ($byte & 0x7f) << $shift;
        if ($byte < 0x80) {
            return $value;
        }
    }
}
