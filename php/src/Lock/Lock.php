<?php

declare(strict_types=1);

namespace Rr\Lock;

use DateInterval;
use DateTimeImmutable;
use Rr\Exception\RelayException;
use Rr\Exception\RpcException;
use Rr\Rpc\Client;

/**
 * Named locks that all processes of this server share.
 *
 * ```php
 * $locks = Lock::fromEnvironment();
 * $held = $locks->lock('invoice-17', ttl: 30, waitTTL: 5) ?: throw new Busy();
 * try {
 *     $store->write($invoice, $held->token);   // may refuse a token that is smaller than one it has seen
 * } finally {
 *     $held->release();
 * }
 * ```
 *
 * Times are seconds, whole or not, or intervals. Every method may throw an `RpcException`, what the server says, or a
 * `RelayException`, the connection: then nobody knows whether the call was carried out.
 */
final class Lock
{
    public function __construct(private readonly Client $rpc)
    {
    }

    /** For the server that started this worker. */
    public static function fromEnvironment(): self
    {
        return new self(Client::fromEnvironment());
    }

    /**
     * Locks for one holder alone. The only reader of a resource may lock it too: its read lock then becomes this one.
     *
     * @param ?string                $id      who locks; a random one by default
     * @param int|float|DateInterval $ttl     when the lock ends by itself; 0: after a year
     * @param int|float|DateInterval $waitTTL how long to wait for it; 0: a millisecond
     * @return false|Held false if it was not to be had in time
     * @throws RpcException|RelayException
     */
    public function lock(
        string $resource,
        ?string $id = null,
        int|float|DateInterval $ttl = 0,
        int|float|DateInterval $waitTTL = 0,
    ): false|Held {
        return $this->take('lock.Lock', $resource, $id, $ttl, $waitTTL);
    }

    /**
     * Locks beside other readers.
     *
     * @param ?string                $id      who locks; a random one by default
     * @param int|float|DateInterval $ttl     when the lock ends by itself; 0: after a year
     * @param int|float|DateInterval $waitTTL how long to wait for it; 0: a millisecond
     * @return false|Held false if it was not to be had in time
     * @throws RpcException|RelayException
     */
    public function lockRead(
        string $resource,
        ?string $id = null,
        int|float|DateInterval $ttl = 0,
        int|float|DateInterval $waitTTL = 0,
    ): false|Held {
        return $this->take('lock.LockRead', $resource, $id, $ttl, $waitTTL);
    }

    /**
     * Ends a lock; false if the id has none (any more).
     *
     * @throws RpcException|RelayException
     */
    public function release(string $resource, string|Held $id): bool
    {
        return $this->ask('lock.Release', ['resource' => $resource, 'id' => (string) $id]);
    }

    /**
     * Ends all locks of a resource, whoever holds them; false if there are none.
     *
     * @throws RpcException|RelayException
     */
    public function forceRelease(string $resource): bool
    {
        return $this->ask('lock.ForceRelease', ['resource' => $resource]);
    }

    /**
     * Whether an id, or anyone, has a lock.
     *
     * @throws RpcException|RelayException
     */
    public function exists(string $resource, string|Held|null $id = null): bool
    {
        return $this->ask('lock.Exists', ['resource' => $resource, 'id' => (string) ($id ?? '*')]);
    }

    /**
     * Lets a lock end after this time from now; 0: after a year. False if the id has none (any more).
     *
     * @throws RpcException|RelayException
     */
    public function updateTTL(string $resource, string|Held $id, int|float|DateInterval $ttl): bool
    {
        $argument = ['resource' => $resource, 'id' => (string) $id, 'ttl' => self::microseconds($ttl)];
        return $this->ask('lock.UpdateTTL', $argument);
    }

    private function take(
        string $method,
        string $resource,
        ?string $id,
        int|float|DateInterval $ttl,
        int|float|DateInterval $waitTTL,
    ): false|Held {
        $id ??= \bin2hex(\random_bytes(16));
        $wait = self::microseconds($waitTTL);
        $argument = ['resource' => $resource, 'id' => $id, 'ttl' => self::microseconds($ttl), 'wait' => $wait];
        $answer = $this->rpc->call($method, $argument, \intdiv($wait, 1_000_000));
        return ($answer['ok'] ?? false) ? new Held($this, $resource, $id, $answer['token'] ?? 0) : false;
    }

    /** @param array<string, mixed> $argument */
    private function ask(string $method, array $argument): bool
    {
        return $this->rpc->call($method, $argument)['ok'] ?? false;
    }

    private static function microseconds(int|float|DateInterval $time): int
    {
        if ($time instanceof DateInterval) {
            $end = (new DateTimeImmutable('@0'))->add($time);
            return $end->getTimestamp() * 1_000_000 + (int) $end->format('u');
        }
        return (int) \round($time * 1_000_000);
    }
}
