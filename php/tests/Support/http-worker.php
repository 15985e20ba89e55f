<?php

declare(strict_types=1);

require __DIR__ . '/../../autoload.php';

use Rr\Http\HttpWorker;
use Rr\Http\Request;
use Rr\Http\Response;

HttpWorker::fromEnvironment()->serve(static fn (Request $request): Response|string => match ($request->path()) {
    '/pid' => (string) \getmypid(),
    '/throw' => throw new \RuntimeException('thrown on purpose'),
    '/stream-throw' => new Response(200, (static function () {
        yield 'first';
        throw new \RuntimeException('thrown on purpose');
    })()),
    '/large' => \str_repeat('l', 3_000_000),
    '/print' => printed(),
    '/exit' => exit(0),
    '/memory' => \str_repeat('x', 1 << 26),
});

function printed(): string
{
    echo "by echo\n";
    \system('echo by a child');
    \fwrite(\fopen('php://stdout', 'w'), "by php://stdout\n");
    return 'printed';
}
