<?php

declare(strict_types=1);

namespace Rr\Classic;

/**
 * Sees to it that this process may replace the functions that only work under a web server.
 *
 * The command line edition of PHP accepts header(), setcookie() and the like and forgets what they were told. PHP has a
 * documented way to replace functions: one that is listed in `disable_functions` does not exist and can be declared by
 * a script. So the process starts itself anew with that setting, under the same pid, and then declares them.
 */
final class Launcher
{
    /** What {@see functions.php} declares in place of PHP's own. */
    public const REPLACED = [
        'connection_aborted', 'connection_status', 'filter_has_var', 'filter_input', 'filter_input_array', 'flush',
        'header', 'header_register_callback', 'header_remove', 'headers_list', 'headers_sent', 'http_response_code',
        'is_uploaded_file', 'move_uploaded_file', 'php_sapi_name', 'register_shutdown_function', 'setcookie',
        'setrawcookie',
    ];

    /** Declares the functions; starts the process anew if it cannot. */
    public static function ensure(): void
    {
        if (\function_exists('header')) {
            self::restart();
        }
        \putenv('RR_CLASSIC_RESTARTED');
        unset($_SERVER['RR_CLASSIC_RESTARTED']);
        require_once __DIR__ . '/functions.php';
    }

    /**
     * The script to serve, and whether each request gets a process of its own.
     *
     * @param list<string> $argv
     * @return array{string, bool}
     */
    public static function arguments(array $argv): array
    {
        $fresh = ($argv[1] ?? '') === '--fresh';
        $script = \realpath($argv[$fresh ? 2 : 1] ?? '');
        if ($script === false || !\is_file($script)) {
            self::fail('usage: php ' . $argv[0] . ' [--fresh] SCRIPT; there is no script "' . ($argv[$fresh ? 2 : 1] ?? '') . '"');
        }
        return [$script, $fresh];
    }

    private static function restart(): void
    {
        $disabled = \array_filter(\explode(',', (string) \ini_get('disable_functions')));
        $setting = 'disable_functions=' . \implode(',', \array_unique([...$disabled, ...self::REPLACED]));
        if (\getenv('RR_CLASSIC_RESTARTED') !== false || !\function_exists('pcntl_exec')) {
            self::fail("PHP's extension pcntl is missing; give its setting on the command line instead, with the command as"
                . " a list: [\"php\", \"-d\", \"$setting\", …]");
        }
        // The command as it was, with its own settings, and ours before them. Opcache, because the script is included
        // for each request: compiling it each time takes long, and memory that PHP frees only when the process ends.
        $command = \explode("\0", \rtrim((string) \file_get_contents('/proc/self/cmdline'), "\0"));
        $environment = ['RR_CLASSIC_RESTARTED' => '1'] + \getenv();
        \pcntl_exec(\PHP_BINARY, ['-d', $setting, '-d', 'opcache.enable_cli=1', ...\array_slice($command, 1)], $environment);
        self::fail('PHP could not be started anew: ' . \pcntl_strerror(\pcntl_get_last_error()));
    }

    private static function fail(string $message): never
    {
        \fwrite(\STDERR, "rr-classic: $message\n");
        exit(1);
    }
}
