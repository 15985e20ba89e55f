<?php

/** As raw.php, but a request for `/slow` takes two seconds. */

declare(strict_types=1);

require __DIR__ . '/goridge.php';

$contentType = field(1, 'Content-Type') . field(2, field(1, 'text/plain'));
$context = "\x08\xC8\x01" . field(2, $contentType);
$answer = frame(PROTO, $context . 'Hello RoadRunner!', strlen($context));

work_loop(static function (string $context) use ($answer): string {
    if (str_contains($context, '/slow')) {
        sleep(2);
    }

    return $answer;
});
