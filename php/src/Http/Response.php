<?php

declare(strict_types=1);

namespace Rr\Http;

/**
 * The answer to a request.
 *
 * A body that is iterable, such as a generator, is streamed: each piece goes out as it comes. If the client goes away
 * {@see \Rr\Exception\StreamStopped} is thrown into the generator.
 */
final class Response
{
    /**
     * @param int<200, 599>                              $status
     * @param string|iterable<string>                    $body
     * @param array<string, string|int|list<string|int>> $headers  a list stands for several lines of one name
     * @param array<string, string|int|list<string|int>> $trailers sent after the body
     */
    public function __construct(
        public readonly int $status = 200,
        public readonly string|iterable $body = '',
        public readonly array $headers = [],
        public readonly array $trailers = [],
    ) {
    }

    public static function text(string $text, int $status = 200): self
    {
        return new self($status, $text, ['Content-Type' => 'text/plain; charset=utf-8']);
    }

    public static function html(string $html, int $status = 200): self
    {
        return new self($status, $html, ['Content-Type' => 'text/html; charset=utf-8']);
    }

    /** @throws \JsonException */
    public static function json(mixed $value, int $status = 200): self
    {
        $json = \json_encode($value, \JSON_THROW_ON_ERROR | \JSON_UNESCAPED_SLASHES | \JSON_UNESCAPED_UNICODE);
        return new self($status, $json, ['Content-Type' => 'application/json']);
    }

    public static function redirect(string $location, int $status = 302): self
    {
        return new self($status, '', ['Location' => $location]);
    }
}
