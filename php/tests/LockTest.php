<?php

declare(strict_types=1);

use Rr\Lock\Held;
use Rr\Lock\Lock;
use Rr\Rpc\Client;

/** A fake server in a process of its own, which grants all that is not `taken`; and what it was asked last. */
$with = static function (callable $test): void {
    $path = \sys_get_temp_dir() . '/rr-lock-' . \getmypid() . '.sock';
    $process = \proc_open([\PHP_BINARY, __DIR__ . '/Support/rpc-server.php', $path], [1 => ['pipe', 'w']], $pipes);
    same("ready\n", \fgets($pipes[1]));
    try {
        $client = new Client("unix://$path", 1);
        $test(new Lock($client), static fn (): array => $client->call('fake.Last'));
    } finally {
        \proc_terminate($process);
        \proc_close($process);
        @\unlink($path);
    }
};

return [
    'a lock has an id and a token' => static fn () => $with(static function (Lock $locks, callable $last): void {
        $held = $locks->lock('r', 'me', 2.5, 1);
        same(['lock.Lock', ['resource' => 'r', 'id' => 'me', 'ttl' => 2_500_000, 'wait' => 1_000_000]], $last());
        same(['r', 'me', 7, 'me'], [$held->resource, $held->id, $held->token, (string) $held]);
        same(true, $held->release());
        same(['lock.Release', ['resource' => 'r', 'id' => 'me']], $last());
        same(true, $held->updateTTL(0.000_001));
        same(['lock.UpdateTTL', ['resource' => 'r', 'id' => 'me', 'ttl' => 1]], $last());
    }),
    'ids are made when none is given' => static fn () => $with(static function (Lock $locks): void {
        $ids = \array_map(static fn (): string => $locks->lockRead('r')->id, \range(1, 3));
        same(3, \count(\array_unique($ids)));
        same(32, \strlen($ids[0]));
    }),
    'what is taken is false' => static fn () => $with(static function (Lock $locks): void {
        same(false, $locks->lock('taken'));
        same(false, $locks->lockRead('taken'));
        same(false, $locks->release('taken', 'x'));
        same(false, $locks->forceRelease('taken'));
        same(false, $locks->exists('taken'));
        same(false, $locks->updateTTL('taken', 'x', 1));
    }),
    'the other methods' => static fn () => $with(static function (Lock $locks, callable $last): void {
        same(true, $locks->exists('r'));
        same(['lock.Exists', ['resource' => 'r', 'id' => '*']], $last());
        same(true, $locks->exists('r', new Held($locks, 'r', 'me', 1)));
        same(['lock.Exists', ['resource' => 'r', 'id' => 'me']], $last());
        same(true, $locks->forceRelease('r'));
        same(['lock.ForceRelease', ['resource' => 'r']], $last());
    }),
    'intervals count in full' => static fn () => $with(static function (Lock $locks, callable $last): void {
        $locks->lock('r', 'me', new \DateInterval('P1DT1H1M1S'));
        same(90_061_000_000, $last()[1]['ttl']);
        $half = \DateInterval::createFromDateString('1500 milliseconds');
        $locks->lock('r', 'me', $half);
        same(1_500_000, $last()[1]['ttl']);
    }),
];
