<?php

/** Our worker without HTTP: frames are checked, the message is not decoded. */

declare(strict_types=1);

use Rr\Http\ResponseEncoder;
use Rr\Worker;

$worker = Worker::fromEnvironment();
$head = ResponseEncoder::encode(200, ['Content-Type' => 'text/plain']);
while ($worker->receive() !== null) {
    $worker->answer($head, 'hello');
}
