<?php

declare(strict_types=1);

use Rr\Logger\Logger;
use Rr\Logger\PsrLogger;
use Rr\Rpc\Client;

/** A fake server that answers every call and writes down what it got; returns the lines that the test caused. */
$with = static function (callable $test): array {
    $path = \sys_get_temp_dir() . '/rr-log-' . \getmypid() . '.sock';
    $server = [\PHP_BINARY, __DIR__ . '/Support/log-server.php', $path];
    $process = \proc_open($server, [1 => ['pipe', 'w']], $pipes);
    same("ready\n", \fgets($pipes[1]));
    try {
        $test(new Logger(new Client("unix://$path", 1)));
    } finally {
        \proc_terminate($process);
        $said = (string) \stream_get_contents($pipes[1]);
        \proc_close($process);
        @\unlink($path);
    }
    $calls = [];
    foreach (\array_filter(\explode("\n", $said)) as $line) {
        [$method, $argument] = \explode(' ', $line, 2);
        $calls[] = [$method, \json_decode($argument, true, 512, \JSON_THROW_ON_ERROR)];
    }
    return $calls;
};

/** The fields of a logged entry. */
$fields = static fn (array $call): array => \array_column($call[1]['log_attrs'], 'value', 'key');

enum LoggedSuit: string
{
    case Hearts = 'h';
}

return [
    'each level has its method' => static function () use ($with, $fields): void {
        $calls = $with(static function (Logger $log): void {
            foreach (['emergency', 'alert', 'critical', 'error', 'warning', 'notice', 'info', 'debug'] as $level) {
                $log->$level("m $level");
            }
            $log->log('WARNING', 'upper case');
        });
        $methods = \array_column($calls, 0);
        same(['app.ErrorWithContext', 'app.ErrorWithContext', 'app.ErrorWithContext', 'app.Error'], \array_slice($methods, 0, 4));
        same(['app.Warning', 'app.InfoWithContext', 'app.Info', 'app.Debug', 'app.Warning'], \array_slice($methods, 4));
        same('m emergency', $calls[0][1]['message']);
        same(['severity' => 'emergency'], $fields($calls[0]));
        same('m error', $calls[3][1]);
        same(['severity' => 'notice'], $fields($calls[5]));
    },
    'the context is put in and becomes fields' => static function () use ($with, $fields): void {
        [$call] = $with(static function (Logger $log): void {
            $log->error('{user} bought {count} of {missing}', [
                'user' => 'ada', 'count' => 3, 'none' => null, 'yes' => true, 'ratio' => 0.1, 'list' => ['a/ü', 1.0],
                'when' => new \DateTimeImmutable('2026-11-23T01:02:03.5+00:00'), 'suit' => LoggedSuit::Hearts,
                'object' => new \ArrayObject(), 'exception' => new \LogicException('boom'), 7 => 'seven',
            ]);
        });
        same('app.ErrorWithContext', $call[0]);
        same('ada bought 3 of {missing}', $call[1]['message']);
        $got = $fields($call);
        same(true, \str_contains($got['exception'], 'LogicException: boom in ' . __FILE__));
        unset($got['exception']);
        same([
            'user' => 'ada', 'count' => '3', 'none' => 'null', 'yes' => 'true', 'ratio' => '0.1', 'list' => '["a/ü",1.0]',
            'when' => '2026-11-23T01:02:03.500000+00:00', 'suit' => 'h', 'object' => 'ArrayObject', 7 => 'seven',
        ], $got);
    },
    'what is no text is sent as far as it is' => static function () use ($with): void {
        $calls = $with(static function (Logger $log): void {
            $log->info("broken \xff text");
            $log->raw("as\nit is ");
        });
        same([['app.Info', "broken \u{fffd} text"], ['app.Log', "as\nit is "]], $calls);
    },
    'an unknown level is the caller\'s mistake' => static function (): void {
        $log = new Logger(new Client('unix:///nowhere.sock'));
        throws(\InvalidArgumentException::class, static fn () => $log->log('loud', 'x'));
        throws(\InvalidArgumentException::class, static fn () => $log->log(null, 'x'));
    },
    'without the server lines go to the error log of PHP' => static function (): void {
        $file = (string) \tempnam(\sys_get_temp_dir(), 'rr');
        $before = \ini_set('error_log', $file);
        try {
            (new Logger(new Client('unix:///nowhere.sock')))->warning('unheard', ['k' => 'v']);
        } finally {
            \ini_set('error_log', (string) $before);
        }
        $written = (string) \file_get_contents($file);
        \unlink($file);
        same(true, \str_contains($written, '[warning] unheard {"k":"v"} (not in the server\'s log: '), $written);
    },
    'the adapter fits psr/log' => static function () use ($with): void {
        // The real package where it is installed (Debian: php-psr-log), else its classes as they are declared there.
        if (!\class_exists(\Psr\Log\AbstractLogger::class)) {
            require __DIR__ . '/Support/psr-log.php';
        }
        $calls = $with(static function (Logger $log): void {
            $psr = new PsrLogger($log);
            $psr->info('hello {who}', ['who' => 'world']);
            throws(\Psr\Log\InvalidArgumentException::class, static fn () => $psr->log('loud', 'x'));
        });
        same([['app.InfoWithContext', ['message' => 'hello world', 'log_attrs' => [['key' => 'who', 'value' => 'world']]]]], $calls);
    },
];
