<?php

declare(strict_types=1);

namespace Rr\Kv;

/** How values become bytes. */
interface Serializer
{
    public function serialize(mixed $value): string;

    /**
     * The value of these bytes.
     *
     * @throws \Throwable if they are not what `serialize` makes: the key then counts as missing
     */
    public function unserialize(string $bytes): mixed;
}
