<?php

/** app.php as a resident worker: decodes the whole request, and encodes the answer that the application gives. */

declare(strict_types=1);

require __DIR__ . '/goridge.php';
require __DIR__ . '/app.php';

function unvarint(string $bytes, int &$at): int
{
    for ($number = 0, $shift = 0; ; $shift += 7) {
        $byte = ord($bytes[$at++]);
        $number |= ($byte & 127) << $shift;
        if ($byte < 128) {
            return $number;
        }
    }
}

/** @return iterable<array{int, string|int}> field number and value of a protobuf message of varints and strings */
function fields(string $bytes): iterable
{
    for ($at = 0, $end = strlen($bytes); $at < $end;) {
        $tag = unvarint($bytes, $at);
        $value = unvarint($bytes, $at);
        if (($tag & 7) === 2) {
            $length = $value;
            $value = substr($bytes, $at, $length);
            $at += $length;
        }
        yield [$tag >> 3, $value];
    }
}

function request(string $context, string $body): Request
{
    $method = 'GET';
    $uri = '/';
    $headers = [];
    foreach (fields($context) as [$number, $value]) {
        if ($number === 3) {
            $method = $value;
        } elseif ($number === 4) {
            $uri = $value;
        } elseif ($number === 5) {
            $name = '';
            foreach (fields($value) as [$part, $text]) {
                if ($part === 1) {
                    $name = $text;
                    continue;
                }
                foreach (fields($text) as [, $one]) {
                    $headers[$name][] = $one;
                }
            }
        }
    }
    $request = new Request($method, new Uri($uri), $body);
    foreach ($headers as $name => $values) {
        $request = $request->withHeader((string) $name, ...$values);
    }

    return $request;
}

function encode(Response $response): string
{
    $context = "\x08" . varint($response->getStatusCode());
    foreach ($response->getHeaders() as $name => $values) {
        $list = implode('', array_map(static fn (string $value): string => field(1, $value), $values));
        $context .= field(2, field(1, $name) . field(2, $list));
    }

    return frame(PROTO, $context . $response->getBody(), strlen($context));
}

$app = new App((int) getenv('BENCH_WORK'));
work_loop(static fn (string $context, string $body): string => encode($app(request($context, $body))));
