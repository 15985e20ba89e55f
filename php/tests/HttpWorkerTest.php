<?php

declare(strict_types=1);

use Rr\Exception\StreamStopped;
use Rr\Frame;
use Rr\Http\HttpWorker;
use Rr\Http\Request;
use Rr\Http\Response;

/** Lets a worker answer the queued requests with this handler; returns the peer to read its answers from. */
$serve = static function (callable $handler, string ...$paths): Peer {
    $peer = Peer::pair();
    foreach ($paths as $path) {
        $peer->ask(request_message('GET', "http://h$path"));
    }
    $peer->stop();
    $worker = new HttpWorker($peer->worker());
    while (($request = $worker->receive()) !== null) {
        $worker->answer($handler($request, $worker));
    }
    return $peer;
};

return [
    'handshake, requests, stop' => static function (): void {
        $peer = Peer::pair();
        $peer->relay->write(Frame::plain('{"pid":1}', Frame::CONTROL | Frame::JSON));
        $peer->ask(request_message('GET', 'http://h/'), 'one');
        $peer->streamStop(); // For a stream that has ended: to be ignored.
        $peer->ask(request_message('GET', 'http://h/'), 'two');
        $peer->stop();
        $worker = $peer->worker();
        foreach (['one', 'two'] as $body) {
            same($body, $worker->receive()->body());
            $worker->answer('', "got $body");
        }
        same(null, $worker->receive());
        same(null, $worker->receive());
        $pid = $peer->frame();
        same([Frame::CONTROL, \json_encode(['pid' => \getmypid()])], [$pid->flags, $pid->payload()]);
        same('got one', $peer->frame()->body());
        same('got two', $peer->frame()->body());
    },
    'answers' => static function () use ($serve): void {
        $peer = $serve(static fn (Request $request): Response => match ($request->path()) {
            '/json' => Response::json(['a' => 'ü/']),
            '/redirect' => Response::redirect('/to'),
            '/trailers' => new Response(200, 'b', ['A' => '1'], ['X-Sum' => '7']),
        }, '/json', '/redirect', '/trailers');
        $json = $peer->reply();
        same([200, 'application/json', '{"a":"ü/"}'], [$json->status, $json->header('Content-Type'), $json->body]);
        same(Frame::PROTO, $json->flags);
        $redirect = $peer->reply();
        same([302, '/to'], [$redirect->status, $redirect->header('Location')]);
        same(['A' => ['1'], 'Trailer' => ['X-Sum'], 'X-Sum' => ['7']], $peer->reply()->headers);
    },
    'streams' => static function () use ($serve): void {
        $peer = $serve(static fn (Request $request): Response => new Response(201, match ($request->path()) {
            '/generator' => (static function () {
                yield 'a';
                yield 'b';
            })(),
            '/array' => ['c', 'd'],
            '/nothing' => [],
        }, ['X' => 'y']), '/generator', '/array', '/nothing');
        $reply = $peer->reply();
        same([201, 'ab', 3, 'y'], [$reply->status, $reply->body, \count($reply->parts), $reply->header('X')]);
        same('', $reply->parts[1]->context());
        same('cd', $peer->reply()->body);
        $reply = $peer->reply();
        same([201, '', 1], [$reply->status, $reply->body, \count($reply->parts)]);
    },
    'early hints' => static function () use ($serve): void {
        $peer = $serve(static function (Request $request, HttpWorker $worker): Response {
            $worker->earlyHints(['Link' => '</a.css>']);
            return new Response(200, 'done');
        }, '/');
        $reply = $peer->reply();
        same([103, '</a.css>'], [$reply->status, $reply->header('Link')]);
        same([200, []], response_head($reply->parts[1]->context()));
        same('done', $reply->body);
    },
    'a stream that nobody reads is stopped; the request that follows is not lost' => static function (): void {
        $peer = Peer::pair();
        $seen = [];
        $peer->ask(request_message('GET', 'http://h/stream'));
        $worker = new HttpWorker($peer->worker());
        same('/stream', $worker->receive()->path());
        $worker->answer(new Response(200, (static function () use ($peer, &$seen) {
            try {
                for ($i = 0; $i < 10; $i++) {
                    if ($i === 3) {
                        $peer->ask(request_message('GET', 'http://h/next'));
                        $peer->streamStop();
                    }
                    yield (string) $i;
                }
            } catch (StreamStopped) {
                $seen[] = "stopped at $i";
            }
        })()));
        same(['stopped at 3'], $seen);
        same('012', $peer->reply()->body);
        same('/next', $worker->receive()->path());
    },
    'what a handler throws is an error frame, and the worker goes on' => static function (): void {
        $peer = Peer::start([\PHP_BINARY, __DIR__ . '/Support/http-worker.php']);
        $peer->ask(request_message('GET', 'http://h/throw'));
        $error = $peer->frame();
        same(Frame::ERROR, $error->flags);
        contains('thrown on purpose', $error->payload());
        $pid = $peer->get(request_message('GET', 'http://h/pid'))->body;
        same((string) $peer->pid(), $pid);
        $peer->ask(request_message('GET', 'http://h/stream-throw'));
        same(Frame::STREAM, $peer->frame()->stream);
        same(Frame::ERROR, $peer->frame()->flags);
        same($pid, $peer->get(request_message('GET', 'http://h/pid'))->body);
        same(0, $peer->end());
    },
    'a large answer' => static function (): void {
        $peer = Peer::start([\PHP_BINARY, __DIR__ . '/Support/http-worker.php']);
        same(true, $peer->get(request_message('GET', 'http://h/large'))->body === \str_repeat('l', 3_000_000));
        same((string) $peer->pid(), $peer->get(request_message('GET', 'http://h/pid'))->body);
        same(0, $peer->end());
    },
    'what is printed goes to stderr' => static function (): void {
        $peer = Peer::start([\PHP_BINARY, __DIR__ . '/Support/http-worker.php']);
        same('printed', $peer->get(request_message('GET', 'http://h/print'))->body);
        same(0, $peer->end());
        foreach (['by echo', 'by a child', 'by php://stdout'] as $text) {
            contains($text, $peer->errors());
        }
    },
    'exit() and fatal errors end the worker, not without an answer' => static function (): void {
        foreach (['/exit' => 'exit() was called', '/memory' => 'Allowed memory size'] as $path => $reason) {
            $peer = Peer::start([\PHP_BINARY, '-d', 'memory_limit=32M', __DIR__ . '/Support/http-worker.php']);
            $peer->ask(request_message('GET', "http://h$path"));
            $error = $peer->frame();
            same(Frame::ERROR, $error->flags);
            contains($reason, $error->payload());
            same('{"stop":true}', $peer->frame()->payload());
            $peer->end();
        }
    },
];
