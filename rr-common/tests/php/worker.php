<?php
// A worker for the pool's tests, speaking raw goridge over pipes or the socket in RR_RELAY. The request's body says what
// to do: a word, a space, an argument.

function frame(string $context, string $body, int $flags = 0x80, int $stream = 0): string
{
    $head = chr(0x14) . chr($flags) . pack('V', strlen($context) + strlen($body));
    return $head . pack('V', crc32($head)) . chr($stream) . "\0" . pack('V', strlen($context)) . $context . $body;
}

function control(string $json): string
{
    $head = chr(0x13) . chr(1) . pack('V', strlen($json));
    return $head . pack('V', crc32($head)) . "\0\0" . $json;
}

$relay = getenv('RR_RELAY') ?: 'pipes';
if ($relay === 'pipes') {
    $in = STDIN;
    $out = STDOUT;
} else {
    $in = $out = stream_socket_client($relay);
}

function read($length)
{
    global $in;
    $data = '';
    while (strlen($data) < $length) {
        $part = fread($in, $length - strlen($data));
        if ($part === '' || $part === false) {
            exit(0);
        }
        $data .= $part;
    }
    return $data;
}

/** @return array{int, int, string, string} flags, stream bits, context, body */
function receive(): array
{
    $head = read(12);
    $options = (ord($head[0]) & 15) - 3;
    $words = $options > 0 ? array_values(unpack('V*', read(4 * $options))) : [0];
    $length = unpack('V', substr($head, 2, 4))[1];
    $payload = $length > 0 ? read($length) : '';
    return [ord($head[1]), ord($head[10]), substr($payload, 0, $words[0]), substr($payload, $words[0])];
}

function send(string $bytes): void
{
    global $out;
    for ($done = 0; $done < strlen($bytes); $done += $n) {
        $n = fwrite($out, substr($bytes, $done));
        if ($n === false || $n === 0) {
            exit(1);
        }
    }
}

if (($delay = getenv('BOOT_DELAY_MS')) !== false) {
    usleep(1000 * (int) $delay);
}
if (($once = getenv('FAIL_WHEN_EXISTS')) !== false && file_exists($once)) {
    fwrite(STDERR, "refusing to boot\n");
    exit(7);
}

$hoard = [];
$served = 0;
while (true) {
    [$flags, $stream, $context, $body] = receive();
    if ($flags & 1) {
        $order = json_decode($context . $body, true);
        if (isset($order['stop'])) {
            if (getenv('IGNORE_STOP')) {
                continue;
            }
            exit(0);
        }
        send(control(json_encode(['pid' => getmypid()])));
        continue;
    }
    if ($stream !== 0) {
        continue; // a late STOP or PONG
    }
    $served++;
    [$word, $argument] = explode(' ', $body, 2) + [1 => ''];
    switch ($word) {
        case 'pid':
            send(frame('', (string) getmypid()));
            break;
        case 'env':
            send(frame('', (string) getenv($argument)));
            break;
        case 'sleep':
            usleep(1000 * (int) $argument);
            send(frame('', (string) getmypid()));
            break;
        case 'length':
            send(frame('', (string) strlen($body)));
            break;
        case 'large':
            send(frame('ctx', str_repeat('x', (int) $argument)));
            break;
        case 'log': // appends the pid to a file: counts executions
            [$path, $then] = explode(' ', $argument, 2) + [1 => ''];
            file_put_contents($path, getmypid() . "\n", FILE_APPEND | LOCK_EX);
            if ($then === 'stop') {
                send(frame('{"stop":true}', ''));
            } elseif ($then === 'answer-stop') {
                send(frame('', 'ok') . frame('{"stop":true}', ''));
            } elseif ($then === 'answer-late-stop') {
                send(frame('', 'ok'));
                usleep(3000);
                send(frame('{"stop":true}', ''));
            } elseif ($then === 'answer-exit') {
                send(frame('', 'ok'));
                exit(0);
            } else {
                send(frame('', 'ok'));
            }
            break;
        case 'stop-once': // asks for another worker as long as the file does not exist
            if (!file_exists($argument)) {
                touch($argument);
                send(frame('{"stop":true}', ''));
                break;
            }
            send(frame('', (string) getmypid()));
            break;
        case 'error':
            $head = chr(0x13) . chr(0x40) . pack('V', strlen($argument));
            send($head . pack('V', crc32($head)) . "\0\0" . $argument);
            break;
        case 'exit':
            exit((int) $argument);
        case 'kill':
            posix_kill(getmypid(), 9);
            break;
        case 'stray':
            send($argument);
            sleep(5);
            break;
        case 'bad-options':
            $head = chr(0x13) . chr(0x80) . pack('V', 2);
            send($head . pack('V', crc32($head)) . "\0\0hi");
            break;
        case 'bad-context':
            $head = chr(0x14) . chr(0x80) . pack('V', 2);
            send($head . pack('V', crc32($head)) . "\0\0" . pack('V', 99) . 'hi');
            break;
        case 'half':
            send(substr(frame('', str_repeat('y', 1000)), 0, 500));
            exit(0);
        case 'twice':
            send(frame('', 'one') . frame('', 'two'));
            break;
        case 'stderr':
            fwrite(STDERR, $argument === 'long' ? json_encode(['trace' => str_repeat('t', 100000)]) . "\n" : $argument . "\n");
            send(frame('', 'ok'));
            break;
        case 'hoard':
            $hoard[] = str_repeat('h', 1024 * 1024 * (int) $argument);
            send(frame('', (string) getmypid()));
            break;
        case 'uid':
            send(frame('', posix_geteuid() . ' ' . posix_getegid() . ' ' . implode(',', posix_getgroups())));
            break;
        case 'served':
            send(frame('', (string) $served));
            break;
        case 'stream': // n chunks, a PING every fifth, then an empty last frame
            $stopped = false;
            for ($i = 1; $i <= (int) $argument && !$stopped; $i++) {
                $ping = $i % 5 === 0;
                send(frame('ctx', "c$i|", 0x80, $ping ? 5 : 1));
                if ($ping) {
                    [, $bits] = receive();
                    $stopped = ($bits & 2) !== 0;
                }
            }
            send(frame('ctx', $stopped ? 'stopped' : '', 0x80, 0));
            break;
        case 'stream-die':
            send(frame('ctx', 'c1|', 0x80, 1));
            usleep(20000);
            exit(3);
        case 'stream-hang':
            send(frame('ctx', 'c1|', 0x80, 1));
            sleep(60);
            break;
        case 'stream-flood': // never looks for a STOP
            while (true) {
                send(frame('ctx', str_repeat('f', 1000), 0x80, 1));
            }
        default:
            send(frame($context, $body));
    }
}
