<?php

/** app.php under php-fpm. */

declare(strict_types=1);

require __DIR__ . '/app.php';

$request = new Request($_SERVER['REQUEST_METHOD'], new Uri($_SERVER['REQUEST_URI']));
foreach ($_SERVER as $name => $value) {
    if (str_starts_with($name, 'HTTP_')) {
        $request = $request->withHeader(strtr(substr($name, 5), '_', '-'), $value);
    }
}
$response = (new App((int) getenv('BENCH_WORK')))($request);
http_response_code($response->getStatusCode());
foreach ($response->getHeaders() as $name => $values) {
    foreach ($values as $value) {
        header("$name: $value", false);
    }
}
echo $response->getBody();
