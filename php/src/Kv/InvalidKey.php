<?php

declare(strict_types=1);

namespace Rr\Kv;

use Rr\Exception\RrException;

/** A key that PSR-16 forbids: empty, or with one of `{}()/\@:`. */
class InvalidKey extends \InvalidArgumentException implements RrException
{
}
