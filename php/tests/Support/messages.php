<?php

/** Messages as the server encodes them, for tests and benchmarks. */

declare(strict_types=1);

function field(int $number, string $value): string
{
    return number($number << 3 | 2) . number(\strlen($value)) . $value;
}

function number(int $value): string
{
    for ($bytes = ''; $value > 0x7f; $value >>= 7) {
        $bytes .= \chr($value & 0x7f | 0x80);
    }
    return $bytes . \chr($value);
}

/** @param array<string, list<string>> $map */
function map_field(int $number, array $map): string
{
    $bytes = '';
    foreach ($map as $key => $values) {
        $list = \implode('', \array_map(static fn (string $value): string => field(1, $value), $values));
        $bytes .= field($number, field(1, (string) $key) . field(2, $list));
    }
    return $bytes;
}

/**
 * `http.v1.Request`.
 *
 * @param array<string, list<string>> $headers
 * @param array<string, string>       $cookies
 */
function request_message(
    string $method,
    string $uri,
    array $headers = [],
    array $cookies = [],
    bool $parsed = false,
    string $uploads = '',
): string {
    $query = (string) \parse_url($uri, \PHP_URL_QUERY);
    return field(1, '127.0.0.1') . field(2, 'HTTP/1.1') . field(3, $method) . field(4, $uri)
        . map_field(5, $headers)
        . map_field(6, \array_map(static fn (string $value): array => [$value], $cookies))
        . ($query === '' ? '' : field(7, $query))
        . ($parsed ? "\x40\x01" : '')
        . ($uploads === '' ? '' : field(9, $uploads));
}

/** What a browser sends. */
function browser_headers(): array
{
    return [
        'User-Agent' => ['Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'],
        'Accept' => ['text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8'],
        'Accept-Language' => ['en-US,en;q=0.5'],
        'Accept-Encoding' => ['gzip, deflate, br, zstd'],
        'Connection' => ['keep-alive'],
        'Cookie' => ['session=' . \str_repeat('a1b2', 10) . '; theme=dark'],
        'Upgrade-Insecure-Requests' => ['1'],
        'Sec-Fetch-Dest' => ['document'],
        'Sec-Fetch-Mode' => ['navigate'],
        'Sec-Fetch-Site' => ['none'],
    ];
}

/**
 * `http.v1.Response`: status and headers.
 *
 * @return array{int, array<string, list<string>>}
 */
function response_head(string $message): array
{
    $status = 0;
    $headers = [];
    foreach (message_fields($message) as [$number, $value]) {
        if ($number === 1) {
            $status = $value;
        } else {
            $entry = \array_column(message_fields($value), 1, 0);
            $headers[$entry[1]] = \array_column(message_fields($entry[2] ?? ''), 1);
        }
    }
    return [$status, $headers];
}

/** @return list<array{int, int|string}> */
function message_fields(string $bytes): array
{
    $at = 0;
    $number = static function () use ($bytes, &$at): int {
        for ($value = $shift = 0; ; $shift += 7) {
            $byte = \ord($bytes[$at++]);
            $value |= ($byte & 0x7f) << $shift;
            if ($byte < 0x80) {
                return $value;
            }
        }
    };
    for ($fields = []; $at < \strlen($bytes);) {
        $tag = $number();
        $value = $number();
        if (($tag & 7) === 2) {
            $at += $value;
            $value = \substr($bytes, $at - $value, $value);
        }
        $fields[] = [$tag >> 3, $value];
    }
    return $fields;
}
