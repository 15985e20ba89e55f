<?php

declare(strict_types=1);

namespace Rr\Exception;

/** The channel to the server is broken or brought something that is no frame; the process can only end. */
final class RelayException extends \RuntimeException implements RrException
{
}
