<?php

declare(strict_types=1);

require __DIR__ . '/../../php/autoload.php';

use Rr\Http\HttpWorker;
use Rr\Http\Request;
use Rr\Http\Response;
use Rr\Rpc\Client;

$rpc = Client::fromEnvironment();

HttpWorker::fromEnvironment()->serve(
    static fn (Request $request): Response => Response::json(['id' => $rpc->call('ids.Next', 1)]),
);
