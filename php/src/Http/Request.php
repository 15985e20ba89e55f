<?php

declare(strict_types=1);

namespace Rr\Http;

/**
 * An HTTP request. What costs something to take apart (query, form, files) is taken apart when it is asked for.
 */
final class Request
{
    private ?array $query = null;
    private ?array $form = null;
    private ?array $files = null;

    /**
     * @param string                      $remoteAddress IP address of the client, or what a trusted proxy says of it
     * @param string                      $protocol      `HTTP/1.1`, `HTTP/2.0`, …
     * @param string                      $method        as received
     * @param string                      $uri           absolute: scheme, host, path and query
     * @param array<string, list<string>> $headers       by canonical name (`Content-Type`); `Host` is in the uri
     * @param array<string, string>       $cookies       decoded
     * @param string                      $queryString   as received
     * @param bool                        $parsed        the server has parsed the form in the body: see {@see form()}
     * @param string                      $uploads       JSON tree of uploaded files; empty without
     * @param array<string, list<string>> $attributes    what middleware of the server adds
     * @param string                      $body          the raw body, or the form as JSON if `$parsed`
     */
    public function __construct(
        public readonly string $remoteAddress,
        public readonly string $protocol,
        public readonly string $method,
        public readonly string $uri,
        public readonly array $headers = [],
        public readonly array $cookies = [],
        public readonly string $queryString = '',
        public readonly bool $parsed = false,
        public readonly string $uploads = '',
        public readonly array $attributes = [],
        public readonly string $body = '',
    ) {
    }

    /** The path, not decoded; at least `/`. */
    public function path(): string
    {
        $from = (int) \strpos($this->uri, '://') + 3;
        $from += \strcspn($this->uri, '/?#', $from);
        return \substr($this->uri, $from, \strcspn($this->uri, '?#', $from)) ?: '/';
    }

    /** Host and port as the client named them. */
    public function host(): string
    {
        $from = (int) \strpos($this->uri, '://') + 3;
        return \substr($this->uri, $from, \strcspn($this->uri, '/?#', $from));
    }

    /** Whether the connection to the server is TLS. */
    public function secure(): bool
    {
        return \str_starts_with($this->uri, 'https:');
    }

    /** The first value of a header in whatever case; the default if it is absent. */
    public function header(string $name, string $default = ''): string
    {
        return $this->headers[$name][0] ?? $this->headers[\ucwords(\strtolower($name), '-')][0] ?? $default;
    }

    /** The query as PHP's `$_GET`. */
    public function query(): array
    {
        if ($this->query === null) {
            $this->query = [];
            $this->queryString === '' or \parse_str($this->queryString, $this->query);
        }
        return $this->query;
    }

    /** The fields of a form, urlencoded or multipart, as PHP's `$_POST`. */
    public function form(): array
    {
        return $this->form ??= $this->parsed && $this->body !== '' ? (array) \json_decode($this->body, true) : [];
    }

    /**
     * The uploaded files by field: a file, or lists and maps of files for `f[]` and `f[a][b]`.
     *
     * The server removes those that were not moved away once the answer is complete.
     *
     * @return array<string, UploadedFile|array>
     */
    public function files(): array
    {
        return $this->files ??= $this->uploads === ''
            ? []
            : \array_map(self::file(...), (array) \json_decode($this->uploads, true));
    }

    private static function file(array $tree): UploadedFile|array
    {
        return \is_string($tree['tmpName'] ?? null)
            ? new UploadedFile($tree['name'], $tree['mime'], $tree['size'], $tree['error'], $tree['tmpName'])
            : \array_map(self::file(...), $tree);
    }
}
