<?php

declare(strict_types=1);

namespace Rr\Classic;

use Rr\Http\HttpWorker;

/**
 * What the script prints, on its way into the answer.
 *
 * An output buffer of ours lies below those of the script. Whatever the script flushes through it becomes a piece of a
 * streamed answer; the rest is the body. A script may close our buffer too, as downloads often do: what it prints then
 * goes to descriptor 1, which is a temporary file here, and is added at the end.
 */
final class Output
{
    private static HttpWorker $worker;
    /** @var resource what descriptor 1 is */
    private static $raw;
    /** What was in our buffer when the script flushed and closed it. */
    private static string $held = '';
    private static bool $usedRaw = false;
    /** Nobody reads any more. */
    private static bool $aborted = false;
    /** Our buffer is in place. */
    private static bool $open = false;
    /** The answer is complete: what is printed now is dropped. */
    private static bool $closed = true;

    /** Takes descriptor 1, which the relay has moved away from. */
    public static function install(HttpWorker $worker): void
    {
        self::$worker = $worker;
        self::$raw = \fopen('php://fd/1', 'r+') ?: throw new \RuntimeException('descriptor 1 cannot be opened');
    }

    public static function begin(): void
    {
        self::$held = '';
        self::$aborted = self::$closed = false;
        self::$open = true;
        \ob_start(self::through(...));
    }

    /** Sends what has been printed so far, if only our buffer holds it. */
    public static function flush(): void
    {
        if (self::$open && \ob_get_level() === 1) {
            \ob_flush();
        }
    }

    /** Whether the script has closed our buffer and printed. PHP takes its headers for sent then, and sessions fail. */
    public static function usedRaw(): bool
    {
        return self::$usedRaw;
    }

    /** Whether the client has gone away; found out when something is sent. */
    public static function aborted(): bool
    {
        return self::$aborted;
    }

    /** Ends all buffers and returns the (rest of the) body. */
    public static function end(): string
    {
        $ours = self::$open ? 1 : 0; // Without ours the script's buffers end in descriptor 1.
        while (\ob_get_level() > $ours) {
            \ob_end_flush();
        }
        $body = self::$open ? (string) \ob_get_clean() : self::$held . self::takeRaw();
        self::$closed = true;
        return self::$aborted ? '' : $body;
    }

    /** What was printed past all buffers. Empty unless the script closed ours. */
    private static function takeRaw(): string
    {
        $size = \fstat(self::$raw)['size'];
        if ($size === 0) {
            return '';
        }
        self::$usedRaw = true;
        \rewind(self::$raw);
        $bytes = (string) \stream_get_contents(self::$raw);
        \ftruncate(self::$raw, 0);
        return $bytes;
    }

    /** The handler of our buffer. It must not print, nor start or end buffers. */
    private static function through(string $bytes, int $phase): string
    {
        $final = ($phase & \PHP_OUTPUT_HANDLER_FINAL) !== 0;
        self::$open = self::$open && !$final;
        if ($phase & \PHP_OUTPUT_HANDLER_CLEAN || self::$closed) {
            return '';
        }
        if ($final) {
            self::$held = $bytes;
            return '';
        }
        self::$aborted = self::$aborted || self::$worker->streamStopped();
        if (!self::$aborted && $bytes !== '') {
            self::$worker->part(Answer::current()->head(), $bytes);
        }
        return '';
    }
}
