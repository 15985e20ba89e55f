<?php

declare(strict_types=1);

$sessions = \sys_get_temp_dir() . '/rr-sessions-' . \getmypid();
\mkdir($sessions);
\register_shutdown_function(static function () use ($sessions): void {
    \array_map(\unlink(...), \glob("$sessions/*"));
    \rmdir($sessions);
});

/** rr-classic with a script of classic/. */
$start = static fn (string $script = 'index.php', string ...$options): Peer => Peer::start([
    \PHP_BINARY, '-d', 'display_errors=0', '-d', 'log_errors=1', '-d', "session.save_path=$sessions",
    __DIR__ . '/../bin/rr-classic', ...$options, __DIR__ . "/classic/$script",
]);
$get = static fn (string $uri, array $headers = [], array $cookies = []): string => request_message(
    'GET',
    "http://example.org:8080$uri",
    $headers,
    $cookies,
);

return [
    'the process stays, global variables do not' => static function () use ($start, $get): void {
        $peer = $start();
        $pid = $peer->pid();
        for ($i = 1; $i <= 3; $i++) {
            $reply = $peer->get($get('/count'));
            same("count $i leaked 1 pid $pid", $reply->body);
            same([200, 'text/html; charset=UTF-8'], [$reply->status, $reply->header('Content-Type')]);
        }
        same(0, $peer->end());
        same('', $peer->errors());
    },
    'the superglobals' => static function () use ($start, $get): void {
        $peer = $start();
        $message = $get('/variables?n=5&l[]=1', ['X-My-Header' => ['a', 'b'], 'User-Agent' => ['test']], ['c.d' => 'e']);
        $seen = \json_decode($peer->get($message)->body, true);
        same(['n' => '5', 'l' => ['1']], $seen['get']);
        same(['c_d' => 'e'], $seen['cookie']);
        same([5, null], $seen['filter']);
        same([], $seen['post']);
        same(__DIR__ . '/classic', $seen['cwd']);
        foreach ([
            'REQUEST_METHOD' => 'GET', 'REQUEST_URI' => '/variables?n=5&l[]=1', 'QUERY_STRING' => 'n=5&l[]=1',
            'HTTP_X_MY_HEADER' => 'a, b', 'HTTP_HOST' => 'example.org:8080', 'SERVER_NAME' => 'example.org',
            'SERVER_PORT' => '8080', 'REMOTE_ADDR' => '127.0.0.1', 'SCRIPT_NAME' => '/index.php',
            'SCRIPT_FILENAME' => __DIR__ . '/classic/index.php', 'DOCUMENT_ROOT' => __DIR__ . '/classic',
        ] as $name => $value) {
            same($value, $seen['server'][$name] ?? null, $name);
        }
        same(['Host' => 'example.org:8080', 'X-My-Header' => 'a, b', 'User-Agent' => 'test'], $seen['headers']);

        $type = ['Content-Type' => ['application/x-www-form-urlencoded']];
        $message = request_message('POST', 'http://h/variables?a=get&b=get', $type, [], true);
        $seen = \json_decode($peer->get($message, '{"a":"post","x.y":["1"]}')->body, true);
        same(['a' => 'post', 'x_y' => ['1']], $seen['post']);
        same(['a' => 'post', 'x_y' => ['1'], 'b' => 'get'], $seen['request']);
        same('a=post&x.y%5B0%5D=1', $seen['input']);
        same('application/x-www-form-urlencoded', $seen['server']['CONTENT_TYPE']);

        same('', \json_decode($peer->get($get('/variables'))->body, true)['input']);
        same(0, $peer->end());
    },
    'php://input, beside other php:// streams' => static function () use ($start): void {
        $peer = $start();
        $reply = $peer->get(request_message('POST', 'http://h/memory-stream'), '{"j":1}');
        same('kept {"j":1} {"j":1}', $reply->body);
        same(0, $peer->end());
    },
    'files' => static function () use ($start): void {
        $peer = $start();
        $path = (string) \tempnam(\sys_get_temp_dir(), 'rr');
        \file_put_contents($path, 'content');
        $leaf = ['name' => 'n.txt', 'mime' => 'text/x', 'size' => 7, 'error' => 0, 'tmpName' => $path];
        $type = ['Content-Type' => ['multipart/form-data; boundary=b']];
        $message = static fn (string $uri, array $tree): string => request_message(
            'POST',
            "http://h$uri",
            $type,
            parsed: true,
            uploads: \json_encode($tree),
        );
        $seen = \json_decode($peer->get($message('/variables', ['f' => ['x' => [$leaf, $leaf]]]))->body, true);
        same(['x' => ['n.txt', 'n.txt']], $seen['files']['f']['name']);
        same(['x' => [$path, $path]], $seen['files']['f']['tmp_name']);
        same(['x' => [7, 7]], $seen['files']['f']['size']);
        same('', $seen['input']);
        $reply = $peer->get($message('/upload', ['f' => $leaf]));
        same([false, true, false, true, 'content', true], \json_decode($reply->body, true));
        same(0, $peer->end());
    },
    'headers and cookies' => static function () use ($start, $get): void {
        $peer = $start();
        $reply = $peer->get($get('/headers'));
        same(404, $reply->status);
        same('["x-one: 2",false,404]', $reply->body);
        same(['2'], $reply->headers['x-one']);
        same(['a', 'b'], $reply->headers['X-Two']);
        same(false, isset($reply->headers['X-Gone']));
        same('yes', $reply->header('X-Late'));
        same(['plain=a%20b', 'full=v; path=/; SameSite=Lax; secure; HttpOnly'], $reply->headers['Set-Cookie']);
        same([], $peer->get($get('/count'))->headers['Set-Cookie'] ?? []);
        same(0, $peer->end());
    },
    'exit() completes the answer and has the worker replaced' => static function () use ($start, $get): void {
        foreach (['/redirect' => [302, ''], '/exit' => [418, 'exited, shut down']] as $path => $expected) {
            $peer = $start();
            $reply = $peer->get($get($path));
            same($expected, [$reply->status, $reply->body]);
            same('{"stop":true}', $peer->frame()->payload());
            same(0, $peer->end());
        }
    },
    'an exception that nobody catches' => static function () use ($start, $get): void {
        $peer = $start();
        $reply = $peer->get($get('/throw'));
        same([500, 'before'], [$reply->status, $reply->body]);
        same(200, $peer->get($get('/count'))->status);
        same(0, $peer->end());
        contains('nobody catches me', $peer->errors());
    },
    'warnings go to the log' => static function () use ($start, $get): void {
        $peer = $start();
        same('shown', $peer->get($get('/warning'))->body);
        same(0, $peer->end());
        contains('Undefined variable $undefined', $peer->errors());
    },
    'sessions of different clients in one process' => static function () use ($start, $get): void {
        $peer = $start();
        $ids = [];
        foreach (['anna', 'bert'] as $who) {
            $reply = $peer->get($get('/session'));
            same('1', $reply->body);
            same(1, \preg_match('/^PHPSESSID=([^;]+); path=\/$/', $reply->header('Set-Cookie'), $match));
            same('no-store, no-cache, must-revalidate', $reply->header('Cache-Control'));
            $ids[$who] = $match[1];
        }
        foreach ([2, 3] as $count) {
            foreach ($ids as $id) {
                $reply = $peer->get($get('/session', cookies: ['PHPSESSID' => $id]));
                same([(string) $count, ''], [$reply->body, $reply->header('Set-Cookie')]);
            }
        }
        same(0, $peer->end());
    },
    'a session never passes to the next client' => static function () use ($start, $get): void {
        $peer = $start();
        $first = \substr($peer->get($get('/late-session'))->body, 4);
        $second = \substr($peer->get($get('/late-session'))->body, 4);
        same(false, $first === '' || $first === $second);
        foreach (['1', '1'] as $count) {
            $reply = $peer->get($get('/named-session'));
            same($count, $reply->body);
            same(1, \preg_match('/^mine=([^;]+)/', $reply->header('Set-Cookie'), $match));
        }
        same(0, $peer->end());
        $peer = $start(); // The cookie has to be found in a new process, whose first session this is.
        same('2', $peer->get($get('/named-session', cookies: ['mine' => $match[1]]))->body);
        same('3', $peer->get($get('/named-session', cookies: ['mine' => $match[1]]))->body);
        same('1', $peer->get($get('/named-session'))->body);
        same(0, $peer->end());
    },
    'output buffers, streams and what bypasses them' => static function () use ($start, $get): void {
        $peer = $start();
        same('ab', $peer->get($get('/buffers'))->body);
        $reply = $peer->get($get('/stream'));
        same(['012rest', 4], [$reply->body, \count($reply->parts)]);
        same(false, isset($reply->headers['X-Too-Late']));
        same('early', $peer->get($get('/early'))->body);
        same(1, \preg_match('/^count/', $peer->get($get('/count'))->body));
        same('one two', $peer->get($get('/download'))->body);
        same('{"stop":true}', $peer->frame()->payload());
        same(0, $peer->end());
        contains('still here', $peer->errors());
        contains('headers already sent', $peer->errors());
    },
    'a stream that nobody reads ends the script, as under PHP-FPM' => static function () use ($start, $get): void {
        $peer = $start();
        $peer->ask($get('/endless'));
        same('0|', $peer->frame()->body());
        $peer->streamStop();
        $peer->reply();
        same('{"stop":true}', $peer->frame()->payload());
        same(0, $peer->end());
    },
    'a script that declares a function gets a new process each time, and is told so' => static function () use ($start, $get): void {
        $peer = $start('declares.php');
        same('pid ' . $peer->pid(), $peer->get($get('/'))->body);
        same('{"stop":true}', $peer->frame()->payload());
        same(0, $peer->end());
        contains('declares the function declared()', $peer->errors());
    },
    'a script that returns a function is run once' => static function () use ($start, $get): void {
        $peer = $start('returns.php');
        $first = $peer->get($get('/?x=a'))->body;
        $second = $peer->get($get('/?x=b'))->body;
        same([1, 1], [\preg_match('/^(\w+) 1 a$/', $first, $one), \preg_match('/^(\w+) 2 b$/', $second, $two)]);
        same($one[1], $two[1]);
        same(0, $peer->end());
    },
    'a new process for each request, if wanted' => static function () use ($start, $get): void {
        $peer = $start('index.php', '--fresh');
        same('count 1 leaked 1 pid ' . $peer->pid(), $peer->get($get('/count'))->body);
        same('{"stop":true}', $peer->frame()->payload());
        same(0, $peer->end());
    },
    'without pcntl it says what to do, and that works' => static function () use ($get): void {
        $command = [__DIR__ . '/../bin/rr-classic', __DIR__ . '/classic/index.php'];
        $peer = Peer::start([\PHP_BINARY, '-d', 'disable_functions=pcntl_exec', ...$command]);
        same(1, $peer->end());
        same(1, \preg_match('/"-d", "(disable_functions=[\w,]+)"/', $peer->errors(), $match));
        $peer = Peer::start([\PHP_BINARY, '-d', $match[1], ...$command]);
        same(404, $peer->get($get('/headers'))->status);
        same(0, $peer->end());
    },
    'a missing script is said so' => static function () use ($start): void {
        $peer = $start('none.php');
        \usleep(1000);
        same(1, $peer->end());
        contains('there is no script', $peer->errors());
    },
];
