<?php

declare(strict_types=1);

use Rr\Exception\RelayException;
use Rr\Exception\RpcException;
use Rr\Rpc\Client;
use Rr\Rpc\Codec;

/** A fake server in a process of its own, and a client for it. */
$with = static function (callable $test): void {
    $path = \sys_get_temp_dir() . '/rr-rpc-' . \getmypid() . '.sock';
    $process = \proc_open([\PHP_BINARY, __DIR__ . '/Support/rpc-server.php', $path], [1 => ['pipe', 'w']], $pipes);
    same("ready\n", \fgets($pipes[1]));
    try {
        $test(new Client("unix://$path", 1));
    } finally {
        \proc_terminate($process);
        \proc_close($process);
        @\unlink($path);
    }
};

return [
    'calls with JSON' => static fn () => $with(static function (Client $client): void {
        same(['a' => [1, 2.5, 'ü'], 'id' => 1], $client->call('fake.Echo', ['a' => [1, 2.5, 'ü']]));
        same(['id' => 2], $client->call('fake.Echo', []));
        same(null, $client->call('fake.Empty', true));
    }),
    'calls with bytes' => static fn () => $with(static function (Client $client): void {
        $bytes = \random_bytes(100_000);
        same(true, $bytes === $client->send('fake.Bytes', $bytes));
        same("\x08\x01", $client->send('fake.Bytes', "\x08\x01", Codec::Proto));
    }),
    'an error of the server leaves the connection sound' => static fn () => $with(static function (Client $client): void {
        $error = throws(RpcException::class, static fn () => $client->call('fake.Fail', 'why'));
        same('it failed: "why"', $error->getMessage());
        same(['id' => 2], $client->call('fake.Echo', []));
    }),
    'late answers of earlier calls are passed over' => static fn () => $with(static function (Client $client): void {
        same(['id' => 1], $client->call('fake.Late', []));
    }),
    'a broken connection fails its call; the next one connects anew' => static fn () => $with(static function (Client $client): void {
        throws(RelayException::class, static fn () => $client->call('fake.Close', 1));
        throws(RelayException::class, static fn () => $client->call('fake.Silent', 1));
        same(['id' => 3], $client->call('fake.Echo', []));
    }),
    'a call that asks the server to wait is waited for' => static fn () => $with(static function (Client $client): void {
        same(true, $client->call('fake.Slow', null, 5));
        throws(RelayException::class, static fn () => $client->call('fake.Slow'));
    }),
    'no server' => static function (): void {
        throws(RelayException::class, static fn () => (new Client('unix:///nowhere.sock'))->call('a.B'));
    },
];
