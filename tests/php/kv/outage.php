<?php

/**
 * A client that never reconnects, while the server behind its storage goes and comes back: outage.php STORAGE, with the
 * server's address in RR_RPC. Each line on stdin, "works" or "fails", is what must become so within seconds; "ok" if it does.
 */

declare(strict_types=1);

require __DIR__ . '/../../../php/autoload.php';

use Rr\Exception\RpcException;
use Rr\Kv\Storage;

$kv = Storage::fromEnvironment($argv[1]);
$memory = Storage::fromEnvironment('memory');
while (($line = \fgets(\STDIN)) !== false) {
    $end = \microtime(true) + 15;
    do {
        try {
            $now = $kv->set('k', 'v') && $kv->get('k') === 'v' ? 'works' : 'lies';
        } catch (RpcException $error) {
            $now = 'fails';
        }
        $other = $memory->set('k', 'v') && $memory->get('k') === 'v';
    } while ($other && $now !== \trim($line) && \microtime(true) < $end);
    echo $other && $now === \trim($line) ? 'ok' : "$now, memory " . \json_encode($other), "\n";
}
