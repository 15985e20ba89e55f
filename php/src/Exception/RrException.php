<?php

declare(strict_types=1);

namespace Rr\Exception;

/** Whatever this library throws. */
interface RrException extends \Throwable
{
}
