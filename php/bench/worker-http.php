<?php

/** Our HTTP worker: requests are decoded, responses encoded. */

declare(strict_types=1);

use Rr\Http\HttpWorker;
use Rr\Http\Request;
use Rr\Http\Response;

HttpWorker::fromEnvironment()->serve(
    static fn (Request $request): Response => new Response(200, 'hello', ['Content-Type' => 'text/plain']),
);
