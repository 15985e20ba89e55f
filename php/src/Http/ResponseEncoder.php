<?php

declare(strict_types=1);

namespace Rr\Http;

/** Writes the protobuf message `http.v1.Response`: the status and the headers of an answer. */
final class ResponseEncoder
{
    /** @param array<string, string|int|\Stringable|iterable<string|int|\Stringable>> $headers */
    public static function encode(int $status, array $headers): string
    {
        $bytes = "\x08" . \chr($status & 0x7f | 0x80) . \chr($status >> 7 & 0x7f);
        foreach ($headers as $name => $values) {
            $name = (string) $name;
            $list = '';
            if (\is_iterable($values)) {
                foreach ($values as $value) {
                    $value = (string) $value;
                    $list .= "\x0a" . self::length($value) . $value;
                }
            } else {
                $value = (string) $values;
                $list = "\x0a" . self::length($value) . $value;
            }
            $entry = "\x0a" . self::length($name) . $name . "\x12" . self::length($list) . $list;
            $bytes .= "\x12" . self::length($entry) . $entry;
        }
        return $bytes;
    }

    private static function length(string $bytes): string
    {
        $length = \strlen($bytes);
        if ($length < 0x80) {
            return \chr($length);
        }
        for ($number = ''; $length > 0x7f; $length >>= 7) {
            $number .= \chr($length & 0x7f | 0x80);
        }
        return $number . \chr($length);
    }
}
