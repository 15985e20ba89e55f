<?php

/**
 * The least a PHP worker can do: decodes nothing, and answers the same bytes every time, so that what a server itself
 * costs per request shows.
 */

declare(strict_types=1);

require __DIR__ . '/goridge.php';

$contentType = field(1, 'Content-Type') . field(2, field(1, 'text/plain'));
// Field 1 is the status, a varint: 200. No Content-Length, as most applications send none.
$context = "\x08\xC8\x01" . field(2, $contentType);
$answer = frame(PROTO, $context . 'Hello RoadRunner!', strlen($context));

work_loop(static fn (): string => $answer);
