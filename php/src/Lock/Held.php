<?php

declare(strict_types=1);

namespace Rr\Lock;

use DateInterval;

/** A lock that was granted. It ends when it is released or when its time is over, not with this object. */
final class Held implements \Stringable
{
    /**
     * @param string $id    who holds it
     * @param int    $token the number of this grant, greater than that of every grant before. A store that remembers the
     *                      greatest number it has seen can refuse a holder whose lock has ended without its knowledge
     */
    public function __construct(
        private readonly Lock $locks,
        public readonly string $resource,
        public readonly string $id,
        public readonly int $token,
    ) {
    }

    /** Ends it; false if it has ended already. */
    public function release(): bool
    {
        return $this->locks->release($this->resource, $this->id);
    }

    /** Lets it end after this time from now; false if it has ended already. */
    public function updateTTL(int|float|DateInterval $ttl): bool
    {
        return $this->locks->updateTTL($this->resource, $this->id, $ttl);
    }

    /** The id, which is all that the public package returns. */
    public function __toString(): string
    {
        return $this->id;
    }
}
