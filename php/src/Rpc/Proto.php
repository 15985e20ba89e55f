<?php

declare(strict_types=1);

namespace Rr\Rpc;

use Rr\Exception\ProtocolException;

/**
 * The little of protobuf that a client with its own messages needs: fields with a length (texts, bytes, messages) and
 * whole numbers. It spares applications the protobuf extension and generated classes.
 */
final class Proto
{
    /** A field with a length. An empty one is left out, as proto3 has it; `$explicit` writes that too. */
    public static function bytes(int $field, string $value, bool $explicit = false): string
    {
        if ($value === '' && !$explicit) {
            return '';
        }
        return \chr($field << 3 | 2) . self::varint(\strlen($value)) . $value;
    }

    /** A whole number. */
    public static function int(int $field, int $value): string
    {
        return \chr($field << 3) . self::varint($value);
    }

    /**
     * The fields of a message in their order, as pairs of number and value.
     *
     * @return list<array{int, string|int}>
     * @throws ProtocolException
     */
    public static function fields(string $message): array
    {
        $fields = [];
        for ($at = 0, $end = \strlen($message); $at < $end;) {
            $tag = self::number($message, $at);
            $value = match ($tag & 7) {
                0 => self::number($message, $at),
                1 => self::take($message, $at, 8),
                2 => self::take($message, $at, self::number($message, $at)),
                5 => self::take($message, $at, 4),
                default => throw new ProtocolException('a protobuf message is broken'),
            };
            $fields[] = [$tag >> 3, $value];
        }
        return $fields;
    }

    private static function varint(int $number): string
    {
        $bytes = '';
        while ($number < 0 || $number > 127) {
            $bytes .= \chr($number & 127 | 128);
            // Without the sign, which would never run out.
            $number = $number >> 7 & 0x01ffffffffffffff;
        }
        return $bytes . \chr($number);
    }

    private static function number(string $message, int &$at): int
    {
        for ($number = $shift = 0; $shift < 64 && isset($message[$at]); $shift += 7) {
            $byte = \ord($message[$at++]);
            $number |= ($byte & 127) << $shift;
            if ($byte < 128) {
                return $number;
            }
        }
        throw new ProtocolException('a protobuf message is broken');
    }

    private static function take(string $message, int &$at, int $length): string
    {
        if ($length < 0 || $length > \strlen($message) - $at) {
            throw new ProtocolException('a protobuf message is broken');
        }
        $at += $length;
        return \substr($message, $at - $length, $length);
    }
}
