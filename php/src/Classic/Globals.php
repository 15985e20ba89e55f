<?php

declare(strict_types=1);

namespace Rr\Classic;

use Rr\Http\Request;
use Rr\Http\UploadedFile;

/** Fills the superglobals from a request as PHP-FPM would. */
final class Globals
{
    private const KEPT = [
        '_GET', '_POST', '_COOKIE', '_FILES', '_SERVER', '_REQUEST', '_ENV', 'GLOBALS', 'argv', 'argc',
    ];

    /** @var array<string, string> names of usual headers in `$_SERVER` */
    private static array $keys = [];

    /** @param array<string, string> $base what `$_SERVER` holds in each request */
    public static function fill(Request $request, array $base): void
    {
        $_GET = $request->query();
        $_POST = self::names($request->form());
        $_COOKIE = self::names($request->cookies);
        $_FILES = $request->uploads === '' ? [] : self::files(self::names($request->files()));
        $_REQUEST = $_POST + $_GET;
        $_SERVER = self::server($request, $base);
    }

    /** Removes the script's own global variables. */
    public static function clear(): void
    {
        foreach (\array_diff(\array_keys($GLOBALS), self::KEPT) as $name) {
            unset($GLOBALS[$name]);
        }
    }

    /**
     * @param array<string, string> $server
     * @return array<string, mixed>
     */
    public static function server(Request $request, array $server): array
    {
        $path = $request->path();
        $host = $request->host();
        $time = \microtime(true);
        $server['REQUEST_METHOD'] = $request->method;
        $server['REQUEST_URI'] = $path . ($request->queryString === '' ? '' : '?' . $request->queryString);
        $server['QUERY_STRING'] = $request->queryString;
        $server['SERVER_PROTOCOL'] = $request->protocol;
        $server['REMOTE_ADDR'] = $request->remoteAddress;
        $server['REQUEST_TIME'] = (int) $time;
        $server['REQUEST_TIME_FLOAT'] = $time;
        $server['REQUEST_SCHEME'] = $request->secure() ? 'https' : 'http';
        $server['HTTP_HOST'] = $host;
        $colon = \strrpos($host, ':');
        if ($colon !== false && !\str_ends_with($host, ']')) { // else: an IPv6 address without a port
            $server['SERVER_NAME'] = \substr($host, 0, $colon);
            $server['SERVER_PORT'] = \substr($host, $colon + 1);
        } else {
            $server['SERVER_NAME'] = $host;
            $server['SERVER_PORT'] = $request->secure() ? '443' : '80';
        }
        if ($request->secure()) {
            $server['HTTPS'] = 'on';
        }
        if (\str_starts_with($path, $server['SCRIPT_NAME'] . '/')) {
            $server['PATH_INFO'] = \rawurldecode(\substr($path, \strlen($server['SCRIPT_NAME'])));
            $server['PHP_SELF'] = $server['SCRIPT_NAME'] . $server['PATH_INFO'];
        }
        foreach ($request->headers as $name => $values) {
            $key = self::$keys[$name] ?? self::key((string) $name);
            $server[$key] = \count($values) === 1 ? $values[0] : \implode($key === 'HTTP_COOKIE' ? '; ' : ', ', $values);
        }
        unset($server['HTTP_PROXY']); // A header `Proxy` must not pass for the variable of that name.
        if (\stripos($server['HTTP_AUTHORIZATION'] ?? '', 'basic ') === 0) {
            $pair = (string) \base64_decode(\substr($server['HTTP_AUTHORIZATION'], 6));
            [$server['PHP_AUTH_USER'], $server['PHP_AUTH_PW']] = \explode(':', $pair, 2) + [1 => ''];
        }
        return $server;
    }

    /** The name in `$_SERVER` of a header. Clients choose the names, so not all of them are remembered. */
    private static function key(string $name): string
    {
        $key = \strtr(\strtoupper($name), '-', '_');
        if ($key !== 'CONTENT_TYPE' && $key !== 'CONTENT_LENGTH') {
            $key = "HTTP_$key";
        }
        return \count(self::$keys) < 100 ? self::$keys[$name] = $key : $key;
    }

    /** Dots and spaces in the names of variables become underscores, as PHP does. */
    private static function names(array $variables): array
    {
        foreach (\array_keys($variables) as $name) {
            if (\strpbrk((string) $name, '. ') !== false) {
                $variables[\strtr($name, '. ', '__')] ??= $variables[$name];
                unset($variables[$name]);
            }
        }
        return $variables;
    }

    /**
     * The shape of `$_FILES`: of a field with several files, each property is a tree of its own.
     *
     * @param array<string, UploadedFile|array> $files
     */
    private static function files(array $files): array
    {
        $properties = [
            'name' => 'name', 'full_path' => 'name', 'type' => 'type', 'tmp_name' => 'path', 'error' => 'error',
            'size' => 'size',
        ];
        return \array_map(
            static fn (UploadedFile|array $file): array => \array_map(
                static fn (string $property): mixed => self::pick($file, $property),
                $properties,
            ),
            $files,
        );
    }

    private static function pick(UploadedFile|array $file, string $property): mixed
    {
        return $file instanceof UploadedFile
            ? $file->$property
            : \array_map(static fn (UploadedFile|array $below): mixed => self::pick($below, $property), $file);
    }
}
