<?php

/**
 * Counts, writes and reads until a file is gone, on one connection and without any error: steady.php STORAGE FILE. Says how often.
 */

declare(strict_types=1);

require __DIR__ . '/../../../php/autoload.php';

[, $storage, $file] = $argv;
$kv = Rr\Kv\Storage::fromEnvironment($storage);
for ($n = 1; \is_file($file); $n++) {
    $count = $kv->incr('php');
    $count === $n || throw new RuntimeException("counted $count instead of $n");
    $kv->set("php$n", [$n], 3600);
    $found = $kv->get("php$n");
    $found === [$n] || throw new RuntimeException("lost php$n: " . \json_encode($found));
    \clearstatcache();
}
echo $n - 1;
