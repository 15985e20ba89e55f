<?php

declare(strict_types=1);

namespace Rr\Classic;

/**
 * `php://input` with the body of the request.
 *
 * PHP lets only the whole scheme `php` be taken over, so this stream wrapper is in place only while a request has a
 * body, and passes all other addresses (`php://memory`, `php://temp`, …) on to PHP.
 */
final class Input
{
    /** @var resource|null set by PHP */
    public $context;
    /** @var resource the stream that does the work */
    private $stream;

    private static string $body = '';
    private static bool $installed = false;

    public static function install(string $body): void
    {
        if ($body !== '') {
            self::$body = $body;
            self::$installed = true;
            self::take();
        }
    }

    public static function remove(): void
    {
        if (self::$installed) {
            self::giveBack();
            self::$installed = false;
            self::$body = '';
        }
    }

    private static function take(): void
    {
        \stream_wrapper_unregister('php');
        \stream_wrapper_register('php', self::class);
    }

    private static function giveBack(): void
    {
        \stream_wrapper_unregister('php'); // Frees what belongs to ours; restoring alone would not.
        \stream_wrapper_restore('php');
    }

    public function stream_open(string $path, string $mode, int $options, ?string &$opened): bool
    {
        // PHP's own streams, while this one is opened.
        self::giveBack();
        try {
            if (\strtolower($path) === 'php://input') {
                $this->stream = \fopen('php://temp', 'r+');
                \fwrite($this->stream, self::$body);
                return \rewind($this->stream);
            }
            $stream = $this->context === null ? \fopen($path, $mode) : \fopen($path, $mode, false, $this->context);
            $this->stream = $stream;
            return $stream !== false;
        } finally {
            self::take();
        }
    }

    public function stream_read(int $count): string|false
    {
        return \fread($this->stream, $count);
    }

    public function stream_write(string $data): int
    {
        return (int) \fwrite($this->stream, $data);
    }

    public function stream_eof(): bool
    {
        return \feof($this->stream);
    }

    public function stream_tell(): int
    {
        return (int) \ftell($this->stream);
    }

    public function stream_seek(int $offset, int $whence): bool
    {
        return \fseek($this->stream, $offset, $whence) === 0;
    }

    public function stream_flush(): bool
    {
        return \fflush($this->stream);
    }

    public function stream_truncate(int $size): bool
    {
        return \ftruncate($this->stream, $size);
    }

    public function stream_stat(): array|false
    {
        return \fstat($this->stream);
    }

    /** @return resource */
    public function stream_cast(int $as)
    {
        return $this->stream;
    }

    public function stream_set_option(int $option, int $first, ?int $second): bool
    {
        return match ($option) {
            \STREAM_OPTION_BLOCKING => \stream_set_blocking($this->stream, $first === 1),
            \STREAM_OPTION_READ_TIMEOUT => \stream_set_timeout($this->stream, $first, (int) $second),
            default => false,
        };
    }

    public function stream_close(): void
    {
        \fclose($this->stream);
    }

    public function url_stat(string $path, int $flags): array|false
    {
        return false;
    }
}
