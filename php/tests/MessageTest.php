<?php

declare(strict_types=1);

use Rr\Exception\ProtocolException;
use Rr\Frame;
use Rr\Http\Request;
use Rr\Http\RequestDecoder;
use Rr\Http\ResponseEncoder;

/** Decodes a message that has something before and behind it in its buffer. */
$decode = static function (string $message, string $body = ''): Request {
    $bytes = 'before' . $message . $body . 'behind';
    return RequestDecoder::decode(
        new Frame(Frame::PROTO, 0, [\strlen($message)], $bytes, 6, 6 + \strlen($message) + \strlen($body)),
    );
};

return [
    'a request with all fields' => static function () use ($decode): void {
        $message = field(1, '10.0.0.1') . field(2, 'HTTP/2.0') . field(3, 'POST')
            . field(4, 'https://example.org:8443/a/b?x=1&y[]=2')
            . map_field(5, ['Content-Type' => ['text/plain'], 'X-Many' => ['1', '', '3']])
            . map_field(6, ['c' => ["a b\xff"]]) . field(7, 'x=1&y[]=2') . "\x40\x01"
            . field(9, '{}') . map_field(10, ['user' => ['u1']]);
        $request = $decode($message, '{"f":"v"}');
        same('10.0.0.1', $request->remoteAddress);
        same('HTTP/2.0', $request->protocol);
        same('POST', $request->method);
        same('https://example.org:8443/a/b?x=1&y[]=2', $request->uri);
        same(['Content-Type' => ['text/plain'], 'X-Many' => ['1', '', '3']], $request->headers);
        same(['c' => "a b\xff"], $request->cookies);
        same(['user' => ['u1']], $request->attributes);
        same('/a/b', $request->path());
        same('example.org:8443', $request->host());
        same(true, $request->secure());
        same(['x' => '1', 'y' => ['2']], $request->query());
        same(['f' => 'v'], $request->form());
        same([], $request->files());
        same('text/plain', $request->header('content-TYPE'));
        same('none', $request->header('X-None', 'none'));
    },
    'long values' => static function () use ($decode): void {
        foreach ([127, 128, 16383, 16384, 300_000] as $length) {
            $value = \str_repeat('v', $length);
            $request = $decode(field(4, $value) . map_field(5, ['X-Long' => [$value, 'short'], $value => ['x']]));
            same(true, $request->uri === $value);
            same(true, $request->headers === ['X-Long' => [$value, 'short'], $value => ['x']]);
        }
    },
    'an empty message, empty values, unknown fields' => static function () use ($decode): void {
        same('', $decode('')->method);
        same(['X' => []], $decode(field(5, field(1, 'X')))->headers);
        same(['' => ['v']], $decode(field(5, field(2, field(1, 'v'))))->headers);
        same('GET', $decode(field(15, 'later') . field(3, 'GET'))->method);
        same(['123' => ['n']], $decode(map_field(5, ['123' => ['n']]))->headers);
    },
    'whatever the bytes are, it decodes or says that it cannot' => static function () use ($decode): void {
        $message = request_message('GET', 'http://h/p?q=1', browser_headers(), ['a' => 'b'], true, '{}');
        for ($length = 0; $length < \strlen($message); $length++) {
            try {
                $decode(\substr($message, 0, $length));
            } catch (ProtocolException) {
                assertions(1);
            }
        }
        \mt_srand(7);
        for ($round = 0; $round < 3000; $round++) {
            $bytes = $message;
            for ($change = \mt_rand(1, 8); $change > 0; $change--) {
                $bytes[\mt_rand(0, \strlen($bytes) - 1)] = \chr(\mt_rand(0, 255));
            }
            try {
                same('', \substr($decode($bytes)->body, 0));
            } catch (ProtocolException) {
                assertions(1);
            }
        }
    },
    'paths' => static function (): void {
        foreach ([
            'http://h/' => '/', 'http://h' => '/', 'http://h?x=/y' => '/', 'http:///p' => '/p', 'http://h/a//b?c#d' => '/a//b',
            'http://[::1]:80/x' => '/x',
        ] as $uri => $path) {
            same($path, (new Request('', '', 'GET', $uri))->path(), $uri);
        }
    },
    'uploaded files' => static function (): void {
        $leaf = static fn (string $name): array => [
            'name' => $name, 'mime' => 'text/x', 'size' => 9, 'error' => 0, 'tmpName' => "/tmp/$name",
        ];
        $tree = ['one' => $leaf('a'), 'list' => [$leaf('b'), $leaf('c')], 'deep' => ['x' => ['y' => $leaf('d')]]];
        $files = (new Request('', '', 'POST', '', uploads: \json_encode($tree)))->files();
        same(['a', 'text/x', 9, 0, '/tmp/a'], \array_values((array) $files['one']));
        same(['b', 'c'], [$files['list'][0]->name, $files['list'][1]->name]);
        same('/tmp/d', $files['deep']['x']['y']->path);
    },
    'a response as the server reads it' => static function (): void {
        same(hex('08c801 12080a0141 12030a0162'), ResponseEncoder::encode(200, ['A' => 'b']));
        $headers = ['Set-Cookie' => ['a=1', 'b=2'], 'X-Long' => [\str_repeat('l', 300)], 'Content-Length' => [7], '404' => ['x']];
        [$status, $decoded] = response_head(ResponseEncoder::encode(404, $headers));
        same(404, $status);
        same(['a=1', 'b=2'], $decoded['Set-Cookie']);
        same([\str_repeat('l', 300)], $decoded['X-Long']);
        same(['7'], $decoded['Content-Length']);
        same(['x'], $decoded['404']);
        same(103, response_head(ResponseEncoder::encode(103, []))[0]);
    },
];
