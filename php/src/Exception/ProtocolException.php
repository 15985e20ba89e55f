<?php

declare(strict_types=1);

namespace Rr\Exception;

/** A message of the server that cannot be decoded. */
final class ProtocolException extends \RuntimeException implements RrException
{
}
