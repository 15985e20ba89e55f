<?php

/**
 * PSR-16's public integration tests against our client: phpunit Psr16Test.php, with the server's address in RR_RPC and the
 * storage's name in KV_STORAGE.
 */

declare(strict_types=1);

require_once __DIR__ . '/../../../php/autoload.php';
require_once 'Psr/SimpleCache/autoload.php';
require_once 'Cache/IntegrationTests/autoload.php';

use Cache\IntegrationTests\SimpleCacheTest;
use Psr\SimpleCache\CacheInterface;
use Rr\Kv\SimpleCache;

final class Psr16Test extends SimpleCacheTest
{
    public function createSimpleCache(): CacheInterface
    {
        return SimpleCache::fromEnvironment((string) \getenv('KV_STORAGE'));
    }
    /** Memcached's keys have 250 bytes at most, with RoadRunner too; PSR-16 asks for 64. */
    public function testBasicUsageWithLongKey()
    {
        if (\getenv('KV_STORAGE') !== 'memcached') {
            parent::testBasicUsageWithLongKey();
            return;
        }
        $key = \str_repeat('a', 250);
        $this->assertFalse($this->cache->has($key));
        $this->assertTrue($this->cache->set($key, 'value'));
        $this->assertSame('value', $this->cache->get($key));
        $this->assertTrue($this->cache->delete($key));
    }
}
