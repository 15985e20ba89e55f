<?php

/** A server that answers every call with nothing, and prints method and argument. */

declare(strict_types=1);

require __DIR__ . '/../../autoload.php';

use Rr\Frame;
use Rr\Relay;

$server = \stream_socket_server("unix://$argv[1]") ?: exit(1);
echo "ready\n";
while (($socket = \stream_socket_accept($server, -1)) !== false) {
    $relay = new Relay($socket, $socket);
    while (($frame = $relay->read()) !== null) {
        [$id, $split] = $frame->options;
        echo \substr($frame->payload(), 0, $split), ' ', \substr($frame->payload(), $split), "\n";
        $relay->write(Frame::call($id, \substr($frame->payload(), 0, $split), 'false', $frame->flags));
    }
    \fclose($socket);
}
