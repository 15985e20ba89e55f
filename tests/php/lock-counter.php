<?php

/**
 * Adds to the number in a file 25 times, each time under a lock. The file has the last token too, which must grow.
 * A call that a crash of the plugin has cut off is made again, after a release: nobody knows whether it was carried out.
 */

declare(strict_types=1);

require __DIR__ . '/../../php/autoload.php';

use Rr\Exception\RpcException;
use Rr\Lock\Held;
use Rr\Lock\Lock;
use Rr\Rpc\Client;

[, $address, $file] = $argv;
$locks = new Lock(new Client($address));
$id = 'process-' . \getmypid();

/** Until the call is answered; between two tries the lock is given back. */
$surely = static function (callable $call) use ($locks, $id): mixed {
    for ($again = false; ; $again = true) {
        try {
            if ($again) {
                $locks->release('counter', $id);
            }
            return $call();
        } catch (RpcException $cut) {
            \str_contains($cut->getMessage(), 'plugin lock') || throw $cut;
        }
    }
};

for ($i = 0; $i < 25; $i++) {
    $held = $surely(static fn (): false|Held => $locks->lock('counter', $id, 60, 60));
    $held === false && throw new RuntimeException('no lock within its time');
    [$number, $token] = \array_map(intval(...), \explode(' ', \file_get_contents($file)));
    $held->token > $token || throw new RuntimeException("token $held->token came after $token");
    \usleep(\random_int(0, 2000));
    \file_put_contents($file, $number + 1 . ' ' . $held->token);
    // False only if a try that was cut off had released it.
    $surely($held->release(...));
}
