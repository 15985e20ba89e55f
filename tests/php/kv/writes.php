<?php

/** Writes keys until it is ended, and says each number once it was acknowledged: writes.php STORAGE. Never reconnects. */

declare(strict_types=1);

require __DIR__ . '/../../../php/autoload.php';

$kv = Rr\Kv\Storage::fromEnvironment($argv[1]);
for ($n = 0; ; $n++) {
    try {
        $kv->set("key$n", $n);
        echo "$n\n";
    } catch (Rr\Exception\RpcException $error) {
        // The server says that the plugin is away.
        echo 'error ', \strtok($error->getMessage(), "\n"), "\n";
        \usleep(20_000);
    }
}
