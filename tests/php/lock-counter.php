<?php

/** Adds to the number in a file 25 times, each time under a lock. The file has the last token too, which must grow. */

declare(strict_types=1);

require __DIR__ . '/../../php/autoload.php';

use Rr\Lock\Lock;
use Rr\Rpc\Client;

[, $address, $file] = $argv;
$locks = new Lock(new Client($address));
for ($i = 0; $i < 25; $i++) {
    $held = $locks->lock('counter', ttl: 30, waitTTL: 30) ?: throw new RuntimeException('no lock within its time');
    [$number, $token] = \array_map(intval(...), \explode(' ', \file_get_contents($file)));
    if ($held->token <= $token) {
        throw new RuntimeException("token $held->token came after $token");
    }
    \usleep(\random_int(0, 300));
    \file_put_contents($file, $number + 1 . ' ' . $held->token);
    if (!$held->release()) {
        throw new RuntimeException('it was not held any more');
    }
}
