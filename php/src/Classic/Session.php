<?php

declare(strict_types=1);

namespace Rr\Classic;

/**
 * PHP's sessions in a process that outlives them.
 *
 * PHP itself reads the id from `$_COOKIE` only in a process's first session, and its own cookie and cache headers do
 * not get through on the command line: both are done here.
 */
final class Session
{
    private const LONG_AGO = 'Thu, 19 Nov 1981 08:52:00 GMT';

    /** The process has had a session. */
    private static bool $used = false;
    /** The id that the client sent. */
    private static string $sent = '';

    /** @param array<string, string> $cookies */
    public static function begin(array $cookies): void
    {
        if (self::$used) {
            self::$sent = self::valid($cookies[\session_name()] ?? '');
            \session_id(self::$sent);
        }
    }

    /** Writes the session away. */
    public static function close(): void
    {
        if (\function_exists('session_status') && \session_status() === \PHP_SESSION_ACTIVE) {
            \session_write_close();
        }
    }

    public static function clear(): void
    {
        unset($GLOBALS['_SESSION']);
        self::$sent = '';
        // However the id came to be: PHP would take it for the next client's too.
        self::$used = self::$used || (\function_exists('session_id') && \session_id() !== '');
    }

    /** The cookie and the cache headers of a session that the script has started. */
    public static function addHeaders(Answer $answer): void
    {
        if (!isset($GLOBALS['_SESSION'])) {
            return;
        }
        if (!self::$used) {
            self::$sent = self::valid($_COOKIE[\session_name()] ?? '');
        }
        $id = \session_id();
        $cookie = \session_get_cookie_params();
        if ($id !== '' && \ini_get('session.use_cookies') && ($id !== self::$sent || $cookie['lifetime'] > 0)) {
            $cookie['expires'] = $cookie['lifetime'] > 0 ? \time() + $cookie['lifetime'] : 0;
            $answer->cookie(\session_name(), \rawurlencode($id), $cookie);
        }
        foreach (self::cacheHeaders(\session_cache_limiter(), \session_cache_expire() * 60) as $name => $value) {
            $answer->has($name) or $answer->header("$name: $value", true, 0);
        }
    }

    /** @return array<string, string> */
    private static function cacheHeaders(string $limiter, int $seconds): array
    {
        return match ($limiter) {
            'nocache' => [
                'Expires' => self::LONG_AGO,
                'Cache-Control' => 'no-store, no-cache, must-revalidate',
                'Pragma' => 'no-cache',
            ],
            'private' => ['Expires' => self::LONG_AGO, 'Cache-Control' => "private, max-age=$seconds"],
            'private_no_expire' => ['Cache-Control' => "private, max-age=$seconds"],
            'public' => [
                'Expires' => \gmdate('D, d M Y H:i:s', \time() + $seconds) . ' GMT',
                'Cache-Control' => "public, max-age=$seconds",
            ],
            default => [],
        };
    }

    private static function valid(mixed $id): string
    {
        return \is_string($id) && \preg_match('/^[A-Za-z0-9,-]{1,256}$/', $id) === 1 ? $id : '';
    }
}
