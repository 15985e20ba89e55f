<?php

declare(strict_types=1);

namespace Rr\Logger;

use Rr\Exception\RrException;
use Rr\Rpc\Client;
use Rr\Rpc\Codec;

/**
 * Writes lines into the server's log, under the logger `app`.
 *
 * ```php
 * $log = Logger::fromEnvironment();
 * $log->warning('payment of {user} took {ms} ms', ['user' => 'ada', 'ms' => 812]);
 * ```
 *
 * The methods are those of PSR-3. What the message names in braces is put in, and the whole context becomes fields of the
 * line. Nothing here ever throws because of the server: without it the line goes to PHP's own error log, which a worker
 * writes to its stderr, and thereby into the server's log when there is one again.
 *
 * {@see PsrLogger} is the same for code that asks for a `Psr\Log\LoggerInterface`.
 */
final class Logger
{
    /** Each level of PSR-3 with the server's method: it has four. */
    private const METHODS = [
        'emergency' => 'Error',
        'alert' => 'Error',
        'critical' => 'Error',
        'error' => 'Error',
        'warning' => 'Warning',
        'notice' => 'Info',
        'info' => 'Info',
        'debug' => 'Debug',
    ];

    private const JSON = \JSON_INVALID_UTF8_SUBSTITUTE | \JSON_PARTIAL_OUTPUT_ON_ERROR | \JSON_UNESCAPED_UNICODE
        | \JSON_UNESCAPED_SLASHES | \JSON_PRESERVE_ZERO_FRACTION;

    public function __construct(private readonly Client $rpc)
    {
    }

    /** For the server that started this worker. */
    public static function fromEnvironment(): self
    {
        return new self(Client::fromEnvironment());
    }

    /** @param array<array-key, mixed> $context */
    public function emergency(string|\Stringable $message, array $context = []): void
    {
        $this->log('emergency', $message, $context);
    }

    /** @param array<array-key, mixed> $context */
    public function alert(string|\Stringable $message, array $context = []): void
    {
        $this->log('alert', $message, $context);
    }

    /** @param array<array-key, mixed> $context */
    public function critical(string|\Stringable $message, array $context = []): void
    {
        $this->log('critical', $message, $context);
    }

    /** @param array<array-key, mixed> $context */
    public function error(string|\Stringable $message, array $context = []): void
    {
        $this->log('error', $message, $context);
    }

    /** @param array<array-key, mixed> $context */
    public function warning(string|\Stringable $message, array $context = []): void
    {
        $this->log('warning', $message, $context);
    }

    /** @param array<array-key, mixed> $context */
    public function notice(string|\Stringable $message, array $context = []): void
    {
        $this->log('notice', $message, $context);
    }

    /** @param array<array-key, mixed> $context */
    public function info(string|\Stringable $message, array $context = []): void
    {
        $this->log('info', $message, $context);
    }

    /** @param array<array-key, mixed> $context */
    public function debug(string|\Stringable $message, array $context = []): void
    {
        $this->log('debug', $message, $context);
    }

    /**
     * A level that the server does not have (`emergency`, `alert`, `critical`, `notice`) is kept in the field `severity`.
     *
     * @param mixed                   $level   one of PSR-3's, in any case
     * @param array<array-key, mixed> $context
     *
     * @throws \InvalidArgumentException a level that does not exist
     */
    public function log(mixed $level, string|\Stringable $message, array $context = []): void
    {
        $name = \is_scalar($level) || $level instanceof \Stringable ? \strtolower((string) $level) : \get_debug_type($level);
        $method = self::METHODS[$name] ?? throw new \InvalidArgumentException("unknown log level: $name");
        if (\strtolower($method) !== $name) {
            $context += ['severity' => $name];
        }
        $texts = \array_map(self::text(...), $context);
        $message = self::interpolate((string) $message, $texts);
        if ($texts === []) {
            $this->call("app.$method", $message, $name, $message, $texts);
            return;
        }
        $attributes = [];
        foreach ($texts as $key => $text) {
            $attributes[] = ['key' => (string) $key, 'value' => $text];
        }
        $entry = ['message' => $message, 'log_attrs' => $attributes];
        $this->call("app.{$method}WithContext", $entry, $name, $message, $texts);
    }

    /** Writes a text to the server's stderr exactly as it is, past the log: no level, no line end, nothing. */
    public function raw(string $text): void
    {
        $this->call('app.Log', $text, 'raw', $text, []);
    }

    /** @param array<array-key, string> $texts */
    private function call(string $method, mixed $argument, string $level, string $message, array $texts): void
    {
        try {
            $this->rpc->send($method, (string) \json_encode($argument, self::JSON), Codec::Json);
        } catch (RrException $unreachable) {
            $fields = $texts === [] ? '' : ' ' . \json_encode($texts, self::JSON);
            \error_log("[$level] $message$fields (not in the server's log: {$unreachable->getMessage()})");
        }
    }

    /** @param array<array-key, string> $texts */
    private static function interpolate(string $message, array $texts): string
    {
        if (!\str_contains($message, '{')) {
            return $message;
        }
        $pairs = [];
        foreach ($texts as $key => $text) {
            $pairs['{' . $key . '}'] = $text;
        }
        return \strtr($message, $pairs);
    }

    /** Any value as the text of a field. */
    private static function text(mixed $value): string
    {
        return match (true) {
            \is_string($value) => $value,
            $value === null => 'null',
            \is_bool($value) => $value ? 'true' : 'false',
            \is_int($value) => (string) $value,
            // Casts of floats lose digits.
            \is_float($value) => \var_export($value, true),
            $value instanceof \DateTimeInterface => $value->format('Y-m-d\TH:i:s.uP'),
            $value instanceof \BackedEnum => (string) $value->value,
            $value instanceof \UnitEnum => $value->name,
            // Throwables are stringable too: class, message, place, trace.
            $value instanceof \Stringable => (string) $value,
            \is_array($value), $value instanceof \JsonSerializable => (string) \json_encode($value, self::JSON),
            default => \get_debug_type($value),
        };
    }
}
