<?php

declare(strict_types=1);

require __DIR__ . '/../../php/autoload.php';

use Rr\Http\HttpWorker;
use Rr\Http\Request;
use Rr\Http\Response;
use Rr\Rpc\Client;

$rpc = Client::fromEnvironment();

HttpWorker::fromEnvironment()->serve(static function (Request $request) use ($rpc): Response {
    $word = $request->query()['word'] ?? null;
    return match (true) {
        $request->path() !== '/' => Response::text("There is nothing here.\n", 404),
        !\is_string($word) => Response::text("Ask for ?word=recieve\n", 400),
        default => Response::json($rpc->call('words.Suggest', $word)),
    };
});
