<?php

/** Adds to a counter and takes part in a race for keys: count.php STORAGE TIMES. Says how many keys it won. */

declare(strict_types=1);

require __DIR__ . '/../../../php/autoload.php';

$kv = Rr\Kv\Storage::fromEnvironment($argv[1]);
for ($won = $n = 0; $n < (int) $argv[2]; $n++) {
    $kv->incr('count');
    $won += (int) $kv->add("race$n", \getmypid());
    do {
        $old = $kv->get('swapped');
    } while (!$kv->compareAndSwap('swapped', $old, $old + 1));
}
echo $won;
