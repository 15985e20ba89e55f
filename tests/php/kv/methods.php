<?php

/** What our client offers beyond PSR-16: methods.php STORAGE, with the server's address in RR_RPC. Says "ok" at the end. */

declare(strict_types=1);

require __DIR__ . '/../../../php/autoload.php';

use Rr\Exception\RpcException;
use Rr\Kv\InvalidKey;
use Rr\Kv\Storage;

$same = static function (mixed $expected, mixed $actual): void {
    if ($expected !== $actual) {
        throw new LogicException('expected ' . \var_export($expected, true) . ', got ' . \var_export($actual, true));
    }
};
$fails = static function (string $class, callable $call): string {
    try {
        $call();
    } catch (\Throwable $error) {
        return $error instanceof $class ? $error->getMessage() : throw $error;
    }
    throw new LogicException("no $class");
};

$kv = Storage::fromEnvironment($argv[1]);
// Memcached cannot tell when a key ends.
$tells = $argv[1] !== 'memcached';
$kv->clear();

// Every value comes back as it was, whole numbers as numbers.
foreach ([0, -1, PHP_INT_MAX, PHP_INT_MIN, 1.5, '5', '-0', '', null, true, false, ['a' => [1]], "\0\xff"] as $value) {
    $same(true, $kv->set('v', $value));
    $same($value, $kv->get('v', 'missing'));
}
$kv->set('o', new ArrayObject([1]));
$same([1], $kv->get('o')->getArrayCopy());
$big = \random_bytes(300_000);
$same(true, $kv->set('big', $big));
$same($big, $kv->get('big'));

$same(['a' => 1, 'b' => 'none'], $kv->setMultiple(['a' => 1]) ? $kv->getMultiple(['a', 'b'], 'none') : null);
$same([], $kv->getMultiple([]));

// Ends.
$kv->set('e', 1, 100);
if ($tells) {
    $left = $kv->ttl('e')->getTimestamp() - \time();
    $same(true, $left >= 99 && $left <= 101);
    $same(null, $kv->ttl('a'));
}
$same(true, $kv->expire('e', 200));
$same(true, !$tells || $kv->ttl('e')->getTimestamp() - \time() > 190);
$same(1, $kv->get('e'));
$same(true, $kv->expire('e', 0));
$same(false, $kv->has('e'));

// Counters.
$same(1, $kv->incr('n', ttl: 100));
$same(11, $kv->incr('n', 10));
$same(0, $kv->decr('n', 11));
$same(-5, $kv->decr('n', 5));
$same(-5, $kv->get('n'));
$same(true, !$tells || $kv->ttl('n') !== null);
$kv->set('text', 'x');
$fails(RpcException::class, static fn () => $kv->incr('text'));

// One winner.
$same(true, $kv->add('once', ['first']));
$same(false, $kv->add('once', ['second']));
$same(['first'], $kv->get('once'));
$same(false, $kv->compareAndSwap('once', 'other', 'new'));
$same(true, $kv->compareAndSwap('once', ['first'], ['third']));
$same(['third'], $kv->get('once'));
$same(false, $kv->compareAndSwap('gone', null, 1));

$fails(InvalidKey::class, static fn () => $kv->get(''));
$fails(InvalidKey::class, static fn () => $kv->incr('a:b'));
$said = $fails(RpcException::class, static fn () => Storage::fromEnvironment('X')->get('a'));
$same('rpc_mget: no such storage: X', $said);
echo "ok\n";
