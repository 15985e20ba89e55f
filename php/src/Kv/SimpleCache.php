<?php

declare(strict_types=1);

namespace Rr\Kv;

use Psr\SimpleCache\CacheInterface;
use Rr\Exception\RrException;

/**
 * A storage for code that asks for a `Psr\SimpleCache\CacheInterface`, of any version of psr/simple-cache. That package must be
 * there: without it use {@see Storage}, which has the same methods.
 *
 * Parameters have no types here because the package's first version has none.
 */
final class SimpleCache implements CacheInterface
{
    public function __construct(public readonly Storage $storage)
    {
    }

    /** For the server that started this worker. */
    public static function fromEnvironment(string $name, Serializer $serializer = new PhpSerializer()): self
    {
        return new self(Storage::fromEnvironment($name, $serializer));
    }

    public function get($key, $default = null): mixed
    {
        return $this->ask(fn () => $this->storage->get($this->key($key), $default));
    }

    public function set($key, $value, $ttl = null): bool
    {
        return $this->ask(fn () => $this->storage->set($this->key($key), $value, $this->ttl($ttl)));
    }

    public function delete($key): bool
    {
        return $this->ask(fn () => $this->storage->delete($this->key($key)));
    }

    public function clear(): bool
    {
        return $this->ask(fn () => $this->storage->clear());
    }

    public function getMultiple($keys, $default = null): iterable
    {
        return $this->ask(fn () => $this->storage->getMultiple($this->keys($keys), $default));
    }

    public function setMultiple($values, $ttl = null): bool
    {
        return $this->ask(fn () => $this->storage->setMultiple($this->values($values), $this->ttl($ttl)));
    }

    public function deleteMultiple($keys): bool
    {
        return $this->ask(fn () => $this->storage->deleteMultiple($this->keys($keys)));
    }

    public function has($key): bool
    {
        return $this->ask(fn () => $this->storage->has($this->key($key)));
    }

    private function key(mixed $key): string
    {
        return \is_string($key) ? $key : throw new InvalidKey('a key is a text, not ' . \get_debug_type($key));
    }

    /** @return list<string> */
    private function keys(mixed $keys): array
    {
        $checked = [];
        foreach ($this->each($keys) as $key) {
            $checked[] = $this->key($key);
        }
        return $checked;
    }

    /** @return array<array-key, mixed> */
    private function values(mixed $values): array
    {
        $checked = [];
        foreach ($this->each($values) as $key => $value) {
            // PHP makes numbers of texts that look like one.
            $checked[\is_int($key) ? (string) $key : $this->key($key)] = $value;
        }
        return $checked;
    }

    /** @return iterable<mixed, mixed> */
    private function each(mixed $many): iterable
    {
        return \is_iterable($many) ? $many : throw new InvalidKey('expected many keys, not ' . \get_debug_type($many));
    }

    private function ttl(mixed $ttl): null|int|\DateInterval
    {
        return $ttl === null || \is_int($ttl) || $ttl instanceof \DateInterval
            ? $ttl
            : throw new InvalidKey('a time to live is seconds or an interval, not ' . \get_debug_type($ttl));
    }

    /**
     * Every exception must be one of PSR-16's.
     *
     * @template T
     * @param callable(): T $question
     * @return T
     */
    private function ask(callable $question): mixed
    {
        try {
            return $question();
        } catch (\InvalidArgumentException $wrong) {
            throw new class ($wrong->getMessage(), 0, $wrong) extends InvalidKey implements \Psr\SimpleCache\InvalidArgumentException {
            };
        } catch (RrException $failed) {
            throw new class ($failed->getMessage(), 0, $failed) extends \RuntimeException implements \Psr\SimpleCache\CacheException {
            };
        }
    }
}
