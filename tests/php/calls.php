<?php

/**
 * A worker that calls other plugins over one connection, made at its start and never again: as the public PHP package behaves.
 *
 *   /hello   "hello", without any call
 *   /store   stores 256 KB more; "stored", or the error
 *   /call    calls rr-kv and a plugin `jobs`; {"pid": …, "kv": error or null, "jobs": …, "lost": whether the connection broke}
 */

declare(strict_types=1);

require __DIR__ . '/../../php/autoload.php';

use Rr\Exception\RelayException;
use Rr\Frame;
use Rr\Http\{HttpWorker, Request, Response};
use Rr\Relay;
use Rr\Rpc\{Codec, Proto};

$rpc = Relay::connect((string) \getenv('RR_RPC'), 30);
$sequence = 0;
$call = static function (string $method, string $body, Codec $codec) use ($rpc, &$sequence): ?string {
    $rpc->write(Frame::call(++$sequence, $method, $body, $codec->value));
    $frame = $rpc->read() ?? throw new RelayException('closed');
    return $frame->flags & Frame::ERROR ? \substr($frame->payload(), $frame->options[1]) : null;
};

HttpWorker::fromEnvironment()->serve(static function (Request $request) use ($call): Response {
    if ($request->path() === '/hello') {
        return Response::text('hello');
    }
    if ($request->path() === '/store') {
        static $stored = 0;
        $item = Proto::bytes(1, \getmypid() . '.' . ++$stored) . Proto::bytes(2, \str_repeat('x', 256 * 1024));
        return Response::text($call('kv.Set', Proto::bytes(1, 'memory') . Proto::bytes(2, $item), Codec::Proto) ?? 'stored');
    }
    $told = ['pid' => \getmypid(), 'kv' => null, 'jobs' => null, 'lost' => false];
    try {
        $item = Proto::bytes(1, 'key') . Proto::bytes(2, 'value');
        $told['kv'] = $call('kv.Set', Proto::bytes(1, 'memory') . Proto::bytes(2, $item), Codec::Proto);
        $told['jobs'] = $call('jobs.Echo', '"hi"', Codec::Json);
    } catch (RelayException) {
        $told['lost'] = true;
    }
    return Response::json($told);
});
