<?php

/**
 * The worker of the end-to-end tests: does what the request's path says.
 *
 *   /hello            "hello"                          /echo[?body=]   the given body, or the request's
 *   /length           length of the request's body     /move?to=       moves the uploaded files into a new directory
 *   /dump             the request as JSON              /pid /count     process id; requests served by this process
 *   /env?name=        an environment variable          /sleep?ms=      answers after a while
 *   /mark?file=       appends the pid to a file: counts executions
 *   /status?code=     that status                      /header?NAME=VALUE&…   those headers
 *   /headers?n=&size= many or huge headers             /body?size=     a body of that size
 *   /implicit         a body without context           /empty          status 200 without body
 *   /stream?n=&ms=&size=&ping=   n pieces of a stream, a ping every ping-th (5), ms between them
 *   /hints            103, then 200                    /trailers       a stream with a trailer
 *   /error?text=      an error frame                   /stderr?text=   a line to stderr
 *   /exit?code=       exits instead of answering       /crash          dies by SIGKILL
 *   /exit-after?code= answers, then exits              /half           half a frame, then exits
 *   /stray?text=      text on stdout, then the answer  /stray-after?text=   the answer, then text
 *   /codec?flags=     an answer with these frame flags /options?n=     an answer with n options
 *   /context?hex=     an answer with that context      /overlong       a context length beyond the payload
 *   /crc              an answer with a broken CRC      /stubborn?s=    ignores SIGTERM and sleeps
 *   /replace          asks to be replaced unless it is this process's first request
 *   /retire           answers, then asks to be retired /memory?mb=     keeps that much memory from now on
 *   /rpc?method=&argument=   calls the server over a connection that is never made anew; 500 if that fails
 *
 * Arguments change the process's life:
 *   --boot-sleep=MS --boot-exit=CODE --boot-echo=TEXT --boot-error=TEXT (to stderr) --boot-throw
 *   --no-handshake --wrong-pid --ignore-stop --stop-sleep=MS
 */

declare(strict_types=1);

require __DIR__ . '/wire.php';

use Wire\Relay;

$life = getopt('', [
    'boot-sleep:', 'boot-exit:', 'boot-echo:', 'boot-error:', 'boot-throw', 'no-handshake', 'wrong-pid', 'ignore-stop',
    'stop-sleep:',
]);
if (isset($life['boot-error'])) {
    fwrite(STDERR, $life['boot-error'] . "\n");
}
if (isset($life['boot-echo'])) {
    echo $life['boot-echo'];
}
usleep((int) ($life['boot-sleep'] ?? 0) * 1000);
if (isset($life['boot-throw'])) {
    throw new RuntimeException('the application cannot boot');
}
if (isset($life['boot-exit'])) {
    exit((int) $life['boot-exit']);
}

$relay = new Relay();
$count = 0;
$kept = [];

while (($frame = $relay->read()) !== null) {
    if ($frame->flags & Wire\CONTROL) {
        $command = json_decode($frame->payload, true);
        if (isset($command['pid'])) {
            if (isset($life['no-handshake'])) {
                sleep(3600);
            }
            $pid = isset($life['wrong-pid']) ? 0 : getmypid();
            $relay->write(Wire\frame(json_encode(['pid' => $pid]), Wire\CONTROL));
        } elseif ($command['stop'] ?? false) {
            if (isset($life['ignore-stop'])) {
                continue;
            }
            usleep((int) ($life['stop-sleep'] ?? 0) * 1000);
            exit(0);
        }
        continue;
    }
    if ($frame->stream & (Wire\STOP | Wire\PONG)) {
        continue; // The stream that it was meant for has ended meanwhile.
    }

    $count++;
    $request = Wire\request($frame->context());
    $path = parse_url($request['uri'], PHP_URL_PATH);
    parse_str($request['raw_query'], $query);
    $body = $frame->body();
    $ok = static fn (string $text, array $headers = []): string => Wire\answer(Wire\response(200, $headers), $text);

    match ($path) {
        '/hello' => $relay->write($ok('hello')),
        '/echo' => $relay->write($ok($query['body'] ?? $body)),
        '/dump' => $relay->write($ok(dump($request, $body), ['Content-Type' => 'application/json'])),
        '/length' => $relay->write($ok((string) strlen($body))),
        '/move' => $relay->write($ok(move($request['uploads'], $query['to']) . ' moved')),
        '/pid' => $relay->write($ok((string) getmypid())),
        '/count' => $relay->write($ok((string) $count)),
        '/env' => $relay->write($ok((string) getenv($query['name']))),
        '/sleep' => [usleep((int) $query['ms'] * 1000), $relay->write($ok('slept'))],
        '/mark' => [
            file_put_contents($query['file'], getmypid() . "\n", FILE_APPEND | LOCK_EX),
            $relay->write($ok('marked')),
        ],
        '/status' => $relay->write(Wire\answer(Wire\response((int) $query['code']), 'status')),
        '/header' => $relay->write($ok('headers', $query)),
        '/headers' => $relay->write($ok('headers', many((int) $query['n'], (int) $query['size']))),
        '/body' => $relay->write($ok(str_repeat('x', (int) $query['size']))),
        '/implicit' => $relay->write(Wire\answer('', 'implicit')),
        '/empty' => $relay->write($ok('')),
        '/stream' => stream($relay, $query),
        '/hints' => [
            $relay->write(Wire\answer(Wire\response(103, ['Link' => '</a.css>; rel=preload']), '', Wire\STREAM)),
            $relay->write($ok('hinted', ['X-Final' => 'yes'])),
        ],
        '/trailers' => [
            $relay->write(Wire\answer(Wire\response(200, ['Trailer' => 'X-Sum', 'X-Sum' => '42']), 'part', Wire\STREAM)),
            $relay->write(Wire\answer('', '')),
        ],
        '/error' => $relay->write(Wire\frame($query['text'] ?? 'boom', Wire\ERROR)),
        '/stderr' => [fwrite(STDERR, $query['text'] . "\n"), $relay->write($ok('logged'))],
        '/exit' => exit((int) ($query['code'] ?? 1)),
        '/crash' => [posix_kill(getmypid(), SIGKILL), sleep(60)],
        '/exit-after' => [$relay->write($ok('bye')), exit((int) ($query['code'] ?? 0))],
        '/half' => [$relay->write(substr($ok('never complete'), 0, 20)), exit(1)],
        '/stray' => [fwrite(STDOUT, $query['text']), $relay->write($ok('after the text'))],
        '/stray-after' => [$relay->write($ok('before the text')), fwrite(STDOUT, $query['text'])],
        '/codec' => $relay->write(Wire\answer(Wire\response(200), 'codec', 0, (int) $query['flags'])),
        '/options' => $relay->write(Wire\frame('options', Wire\PROTO, 0, array_fill(0, (int) $query['n'], 0))),
        '/context' => $relay->write(Wire\answer((string) hex2bin($query['hex']), 'context')),
        '/overlong' => $relay->write(Wire\frame('short', Wire\PROTO, 0, [1000])),
        '/crc' => $relay->write(substr_replace($ok('crc'), "\0\0\0\0", 6, 4)),
        '/stubborn' => [pcntl_signal(SIGTERM, SIG_IGN), sleep((int) $query['s']), $relay->write($ok('woke'))],
        '/replace' => $relay->write($count > 1 ? Wire\answer('{"stop":true}', '') : $ok((string) getmypid())),
        '/retire' => [$relay->write($ok((string) getmypid())), $relay->write(Wire\answer('{"stop":true}', ''))],
        '/rpc' => $relay->write(remote($query['method'], $query['argument'] ?? 'null')),
        '/memory' => [$kept[] = str_repeat('m', (int) $query['mb'] << 20), $relay->write($ok('kept'))],
        default => $relay->write(Wire\answer(Wire\response(404), 'no such path')),
    };
}

/** The request as JSON, with the uploads decoded and the content of each uploaded file read. */
function dump(array $request, string $body): string
{
    $uploads = $request['uploads'] === '' ? null : json_decode($request['uploads'], true, 200, JSON_THROW_ON_ERROR);
    if ($uploads !== null) {
        array_walk_recursive($uploads, static function (mixed &$value, string|int $key): void {
            if ($key === 'tmpName' && $value !== '') {
                $value = ['path' => $value, 'content' => base64_encode((string) file_get_contents($value))];
            }
        });
    }
    $shown = [...$request, 'uploads' => $uploads, 'body' => $body, 'pid' => getmypid()];
    $flags = JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE;
    return json_encode($shown, $flags, 200);
}

/** Moves every uploaded file, as an application would, and counts them. */
function move(string $uploads, string $to): int
{
    mkdir($to);
    $count = 0;
    $tree = json_decode($uploads, true, 200, JSON_THROW_ON_ERROR);
    array_walk_recursive($tree, static function (mixed $value, string|int $key) use ($to, &$count): void {
        if ($key === 'tmpName' && $value !== '') {
            $count += (int) rename($value, "$to/" . basename($value));
        }
    });
    return $count;
}

/** @return array<string, string> */
function many(int $count, int $size): array
{
    $headers = [];
    for ($i = 0; $i < $count; $i++) {
        $headers["X-Many-$i"] = str_repeat('h', $size);
    }
    return $headers;
}

/** Pieces "0|", "1|", … of at least the given size, as the public package sends them: the head in the first frame only. */
function stream(Relay $relay, array $query): void
{
    $context = Wire\response(200, ['X-Streamed' => 'yes']);
    $every = (int) ($query['ping'] ?? 5);
    for ($i = 0; $i < (int) $query['n']; $i++) {
        $ping = $every > 0 && $i % $every === $every - 1;
        $piece = str_pad("$i|", (int) ($query['size'] ?? 0), '.');
        $relay->write(Wire\answer($context, $piece, Wire\STREAM | ($ping ? Wire\PING : 0)));
        $context = '';
        if ($ping || $relay->readable()) {
            $told = $relay->read();
            if ($told === null || $told->stream & Wire\STOP) {
                fwrite(STDERR, "stream stopped after $i\n");
                break;
            }
        }
        usleep((int) ($query['ms'] ?? 0) * 1000);
    }
    $relay->write(Wire\answer('', ''));
}

/** A call over this worker's one connection, which is never made anew: after an error of it every call fails. */
function remote(string $method, string $argument): string
{
    static $client = null, $broken = null;
    require_once __DIR__ . '/../../php/autoload.php';
    try {
        $broken === null || throw new RuntimeException("lost before: $broken");
        $client ??= Rr\Rpc\Client::fromEnvironment();
        return Wire\answer(Wire\response(200), json_encode($client->call($method, json_decode($argument, true))));
    } catch (Rr\Exception\RpcException $refused) {
        return Wire\answer(Wire\response(500), $refused->getMessage());
    } catch (Throwable $lost) {
        $broken ??= $lost->getMessage();
        return Wire\answer(Wire\response(500), $lost->getMessage());
    }
}
