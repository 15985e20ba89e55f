<?php

declare(strict_types=1);

namespace Rr\Exception;

/** The server has answered a call with an error: the message is the server's. The connection is sound. */
final class RpcException extends \RuntimeException implements RrException
{
}
