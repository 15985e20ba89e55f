<?php

declare(strict_types=1);

namespace Rr\Kv;

/**
 * PHP's own form, as the public package writes it; but whole numbers are plain digits, so that the server can count with
 * them ({@see Storage::incr}).
 */
final class PhpSerializer implements Serializer
{
    public function serialize(mixed $value): string
    {
        return \is_int($value) ? (string) $value : \serialize($value);
    }

    public function unserialize(string $bytes): mixed
    {
        $number = (int) $bytes;
        if ((string) $number === $bytes) {
            return $number;
        }
        $value = @\unserialize($bytes);
        if ($value === false && $bytes !== 'b:0;') {
            throw new \UnexpectedValueException('the value was not written by this serializer');
        }
        return $value;
    }
}
