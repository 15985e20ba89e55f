<?php

/** PHP's functions for talking to a web server, declared anew for a resident worker. See {@see Launcher}. */

declare(strict_types=1);

use Rr\Classic\Answer;
use Rr\Classic\Output;
use Rr\Classic\Resident;

// Declared when this runs and not when it is compiled, so that the file can be checked by `php -l` too.
if (!\function_exists('header')) {
    function header(string $header, bool $replace = true, int $response_code = 0): void
    {
        Answer::current()->header($header, $replace, $response_code);
    }

    function header_remove(?string $name = null): void
    {
        Answer::current()->remove($name);
    }

    /** @return list<string> */
    function headers_list(): array
    {
        return Answer::current()->lines();
    }

    function headers_sent(&$filename = null, &$line = null): bool
    {
        [$filename, $line] = ['', 0];
        return Answer::current()->headSent();
    }

    function header_register_callback(callable $callback): bool
    {
        Answer::current()->beforeHead = \Closure::fromCallable($callback);
        return true;
    }

    function http_response_code(int $response_code = 0): int|bool
    {
        return Answer::current()->code($response_code);
    }

    function setcookie(
        string $name,
        string $value = '',
        array|int $expires_or_options = 0,
        string $path = '',
        string $domain = '',
        bool $secure = false,
        bool $httponly = false,
    ): bool {
        $options = \is_array($expires_or_options)
            ? $expires_or_options
            : ['expires' => $expires_or_options] + \compact('path', 'domain', 'secure', 'httponly');
        return Answer::current()->cookie($name, \rawurlencode($value), $options);
    }

    function setrawcookie(
        string $name,
        string $value = '',
        array|int $expires_or_options = 0,
        string $path = '',
        string $domain = '',
        bool $secure = false,
        bool $httponly = false,
    ): bool {
        $options = \is_array($expires_or_options)
            ? $expires_or_options
            : ['expires' => $expires_or_options] + \compact('path', 'domain', 'secure', 'httponly');
        return Answer::current()->cookie($name, $value, $options);
    }

    /** @return array<string, string> */
    function getallheaders(): array
    {
        return Resident::requestHeaders();
    }

    /** @return array<string, string> */
    function apache_request_headers(): array
    {
        return Resident::requestHeaders();
    }

    function is_uploaded_file(string $filename): bool
    {
        return Resident::uploaded($filename);
    }

    function move_uploaded_file(string $from, string $to): bool
    {
        return Resident::uploaded($from) && \rename($from, $to) && \chmod($to, 0666 & ~\umask());
    }

    function register_shutdown_function(callable $callback, mixed ...$args): void
    {
        Resident::atEnd(static fn () => $callback(...$args));
    }

    /** Sends what has been printed so far. Ends the script, as PHP does, when nobody reads it. */
    function flush(): void
    {
        Output::flush();
        if (Output::aborted() && !\ignore_user_abort()) {
            exit;
        }
    }

    /** Completes the answer; the script goes on without an audience. */
    function fastcgi_finish_request(): bool
    {
        return Resident::finishEarly();
    }

    function connection_aborted(): int
    {
        return Output::aborted() ? 1 : 0;
    }

    function connection_status(): int
    {
        return Output::aborted() ? \CONNECTION_ABORTED : \CONNECTION_NORMAL;
    }

    /** What applications take for "not on the command line". The constant PHP_SAPI cannot be changed. */
    function php_sapi_name(): string
    {
        return 'fpm-fcgi';
    }

    function filter_has_var(int $input_type, string $var_name): bool
    {
        return isset(Resident::input($input_type)[$var_name]);
    }

    function filter_input(int $type, string $var_name, int $filter = \FILTER_DEFAULT, array|int $options = 0): mixed
    {
        $input = Resident::input($type);
        if (isset($input[$var_name])) {
            return \filter_var($input[$var_name], $filter, $options);
        }
        $flags = \is_array($options) ? $options['flags'] ?? 0 : $options;
        return $options['options']['default'] ?? ($flags & \FILTER_NULL_ON_FAILURE ? false : null);
    }

    function filter_input_array(int $type, array|int $options = \FILTER_DEFAULT, bool $add_empty = true): array|false|null
    {
        $input = Resident::input($type);
        return $input === [] ? null : \filter_var_array($input, $options, $add_empty);
    }
}
