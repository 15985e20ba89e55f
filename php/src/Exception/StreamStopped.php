<?php

declare(strict_types=1);

namespace Rr\Exception;

/** Thrown into a generator that makes a streamed body, at its `yield`: nobody reads the stream any more. */
final class StreamStopped extends \RuntimeException implements RrException
{
}
