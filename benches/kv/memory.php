<?php

/**
 * Memory of a storage: php memory.php ADDRESS STORAGE PID [KEYS]. Fills the empty storage with small keys (10 bytes, values of 10
 * bytes), and again with an end for each, and prints what each key costs the process (rr-kv, or the reference's rr).
 */

declare(strict_types=1);

require __DIR__ . '/../../php/autoload.php';

use Rr\Rpc\Client;
use Rr\Rpc\Codec;
use Rr\Rpc\Proto;

[, $address, $storage, $pid] = $argv;
$keys = (int) ($argv[4] ?? 1_000_000);
$rpc = new Client($address);
$resident = static function () use ($pid): int {
    \preg_match('/VmRSS:\s+(\d+)/', (string) \file_get_contents("/proc/$pid/status"), $found);
    return 1024 * (int) $found[1];
};
$end = \gmdate('Y-m-d\TH:i:s+00:00', \time() + 3600);
foreach (['without an end' => '', 'with an end' => $end] as $what => $timeout) {
    $rpc->send('kv.Clear', Proto::bytes(1, $storage), Codec::Proto);
    // Go gives memory back late; what it has kept so far is not counted.
    $before = $resident();
    $start = \microtime(true);
    for ($n = 0; $n < $keys;) {
        $message = Proto::bytes(1, $storage);
        for ($until = \min($n + 1000, $keys); $n < $until; $n++) {
            $item = Proto::bytes(1, \sprintf('key%07d', $n)) . Proto::bytes(2, \sprintf('%010d', $n)) . Proto::bytes(3, $timeout);
            $message .= Proto::bytes(2, $item);
        }
        $rpc->send('kv.Set', $message, Codec::Proto);
    }
    \printf(
        "%d keys %s: %.0f bytes each, %.1f s\n",
        $keys,
        $what,
        ($resident() - $before) / $keys,
        \microtime(true) - $start,
    );
}
