<?php

declare(strict_types=1);

namespace Rr\Kv;

use DateInterval;
use DateTimeImmutable;
use Rr\Exception\ProtocolException;
use Rr\Exception\RelayException;
use Rr\Exception\RpcException;
use Rr\Rpc\Client;
use Rr\Rpc\Codec;
use Rr\Rpc\Proto;

/**
 * One storage of the server's section `kv`, with PSR-16's methods and a few that it lacks.
 *
 * ```php
 * $cache = Storage::fromEnvironment('cache');
 * $cache->set('user.17', $user, 3600);
 * $hits = $cache->incr('hits');
 * ```
 *
 * A time to live (`$ttl`) is seconds or an interval; null is for ever, zero or less removes the key. Every method may throw an
 * `RpcException`, what the server says, or a `RelayException`, the connection. For code that asks for a
 * `Psr\SimpleCache\CacheInterface` there is {@see SimpleCache}.
 */
final class Storage
{
    /** An end that is over: a key that gets it is removed. */
    private const PAST = '1970-01-01T00:00:00Z';

    public function __construct(
        private readonly Client $rpc,
        private readonly string $name,
        private readonly Serializer $serializer = new PhpSerializer(),
    ) {
    }

    /** For the server that started this worker. */
    public static function fromEnvironment(string $name, Serializer $serializer = new PhpSerializer()): self
    {
        return new self(Client::fromEnvironment(), $name, $serializer);
    }

    /**
     * The value of a key, or the default if it is not there.
     *
     * @throws InvalidKey|RpcException|RelayException
     */
    public function get(string $key, mixed $default = null): mixed
    {
        return $this->getMultiple([$key], $default)[$key];
    }

    /** @throws InvalidKey|RpcException|RelayException */
    public function set(string $key, mixed $value, null|int|DateInterval $ttl = null): bool
    {
        return $this->setMultiple([$key => $value], $ttl);
    }

    /** @throws InvalidKey|RpcException|RelayException */
    public function delete(string $key): bool
    {
        return $this->deleteMultiple([$key]);
    }

    /** Removes all keys of the storage. */
    public function clear(): bool
    {
        $this->items('kv.Clear', []);
        return true;
    }

    /**
     * The values by key, with the default for keys that are not there.
     *
     * @param iterable<string> $keys
     * @return array<string, mixed>
     * @throws InvalidKey|RpcException|RelayException
     */
    public function getMultiple(iterable $keys, mixed $default = null): array
    {
        $values = [];
        $items = [];
        foreach ($keys as $key) {
            $values[$key] = $default;
            $items[] = $this->item($key);
        }
        foreach ($items === [] ? [] : $this->items('kv.MGet', $items) as $key => $item) {
            try {
                $values[$key] = $this->serializer->unserialize($item[2] ?? '');
            } catch (\Throwable) {
                // What cannot be read is not there, says PSR-16.
            }
        }
        return $values;
    }

    /**
     * @param iterable<string, mixed> $values
     * @throws InvalidKey|RpcException|RelayException
     */
    public function setMultiple(iterable $values, null|int|DateInterval $ttl = null): bool
    {
        $end = $this->end($ttl);
        $items = [];
        foreach ($values as $key => $value) {
            $items[] = $this->item((string) $key, $end === self::PAST ? '' : $this->serializer->serialize($value), $end);
        }
        if ($items !== []) {
            $this->items($end === self::PAST ? 'kv.Delete' : 'kv.Set', $items);
        }
        return true;
    }

    /**
     * @param iterable<string> $keys
     * @throws InvalidKey|RpcException|RelayException
     */
    public function deleteMultiple(iterable $keys): bool
    {
        $items = [];
        foreach ($keys as $key) {
            $items[] = $this->item($key);
        }
        if ($items !== []) {
            $this->items('kv.Delete', $items);
        }
        return true;
    }

    /** @throws InvalidKey|RpcException|RelayException */
    public function has(string $key): bool
    {
        return $this->items('kv.Has', [$this->item($key)]) !== [];
    }

    /**
     * When a key ends, to the second; null if it never does or is not there. Memcached cannot tell.
     *
     * @throws InvalidKey|RpcException|RelayException
     */
    public function ttl(string $key): ?DateTimeImmutable
    {
        $time = $this->items('kv.TTL', [$this->item($key)])[$key][3] ?? '';
        return $time === '' ? null : new DateTimeImmutable($time);
    }

    /**
     * Gives a key that is there another time to live. Its value stays.
     *
     * @throws InvalidKey|RpcException|RelayException
     */
    public function expire(string $key, int|DateInterval $ttl): bool
    {
        return $this->items('kv.MExpire', [$this->item($key, '', $this->end($ttl))]) === [];
    }

    /**
     * Adds to a whole number, in one step for all workers, and returns the sum. A key that is not there counts as 0 and gets the
     * time to live; one that is there keeps its own.
     *
     * @throws InvalidKey|RpcException|RelayException
     */
    public function incr(string $key, int $by = 1, null|int|DateInterval $ttl = null): int
    {
        return $this->count('kv.Incr', $key, $by, $ttl);
    }

    /**
     * Subtracts from a whole number; see {@see incr}.
     *
     * @throws InvalidKey|RpcException|RelayException
     */
    public function decr(string $key, int $by = 1, null|int|DateInterval $ttl = null): int
    {
        return $this->count('kv.Decr', $key, $by, $ttl);
    }

    /**
     * Stores a value if the key is not there, in one step for all workers. False if it is.
     *
     * @throws InvalidKey|RpcException|RelayException
     */
    public function add(string $key, mixed $value, null|int|DateInterval $ttl = null): bool
    {
        $item = $this->item($key, $this->serializer->serialize($value), $this->end($ttl));
        return $this->items('kv.Add', [$item]) !== [];
    }

    /**
     * Stores a value if the key has the expected one, in one step for all workers. False if it has another or is not there.
     * What is compared is the serialized form.
     *
     * @throws InvalidKey|RpcException|RelayException
     */
    public function compareAndSwap(
        string $key,
        mixed $expected,
        mixed $value,
        null|int|DateInterval $ttl = null,
    ): bool {
        $this->check($key);
        $argument = Proto::bytes(1, $this->name) . Proto::bytes(2, $key)
            . Proto::bytes(3, $this->serializer->serialize($expected), true)
            . Proto::bytes(4, $this->serializer->serialize($value)) . Proto::bytes(5, $this->end($ttl));
        return \in_array([1, 1], Proto::fields($this->rpc->send('kv.CompareAndSwap', $argument, Codec::Proto)), true);
    }

    private function count(string $method, string $key, int $by, null|int|DateInterval $ttl): int
    {
        $this->check($key);
        $argument = Proto::bytes(1, $this->name) . Proto::bytes(2, $key) . Proto::int(3, $by)
            . Proto::bytes(4, $this->end($ttl));
        foreach (Proto::fields($this->rpc->send($method, $argument, Codec::Proto)) as [$field, $value]) {
            if ($field === 1 && \is_int($value)) {
                return $value;
            }
        }
        // proto3 leaves a zero out.
        return 0;
    }

    /** An item of a request. */
    private function item(string $key, string $value = '', string $end = ''): string
    {
        $this->check($key);
        return Proto::bytes(2, Proto::bytes(1, $key) . Proto::bytes(2, $value) . Proto::bytes(3, $end));
    }

    /**
     * The items of the answer by key: each the values of its fields by their numbers.
     *
     * @param list<string> $items
     * @return array<array-key, array<int, string>>
     */
    private function items(string $method, array $items): array
    {
        $answer = $this->rpc->send($method, Proto::bytes(1, $this->name) . \implode('', $items), Codec::Proto);
        $found = [];
        foreach (Proto::fields($answer) as [, $message]) {
            $item = [];
            foreach (Proto::fields((string) $message) as [$field, $value]) {
                $item[$field] = (string) $value;
            }
            $found[$item[1] ?? throw new ProtocolException('an item without a key')] = $item;
        }
        return $found;
    }

    private function check(string $key): void
    {
        if ($key === '' || \strpbrk($key, '{}()/\\@:') !== false) {
            throw new InvalidKey("not a key: \"$key\"; PSR-16 forbids an empty one and the characters {}()/\\@:");
        }
    }

    /** When a key ends, as the server reads it; empty for never. */
    private function end(null|int|DateInterval $ttl): string
    {
        if ($ttl === null) {
            return '';
        }
        $now = new DateTimeImmutable();
        // More than 3000 years would need a fifth digit for the year.
        $end = \is_int($ttl) ? $now->modify(\max(\min($ttl, 10 ** 11), -1) . ' seconds') : $now->add($ttl);
        return $end <= $now ? self::PAST : $end->format('Y-m-d\TH:i:s.vP');
    }
}
