<?php

declare(strict_types=1);

namespace Rr\Http;

use Rr\Exception\ProtocolException;
use Rr\Frame;

/**
 * Reads the protobuf message `http.v1.Request` in place, in one pass.
 *
 * By hand, and in one function: this runs for each request. All fields are length-delimited but one bool, and nearly
 * all lengths fit one byte, so the loop reads a tag and a length byte and hardly ever more.
 */
final class RequestDecoder
{
    // Tags: field number << 3 | wire type.
    private const REMOTE_ADDRESS = 0x0a;
    private const PROTOCOL = 0x12;
    private const METHOD = 0x1a;
    private const URI = 0x22;
    private const HEADER = 0x2a;
    private const COOKIE = 0x32;
    private const QUERY = 0x3a;
    private const PARSED = 0x40;
    private const UPLOADS = 0x4a;
    private const ATTRIBUTE = 0x52;
    /** The key of a map's entry; what follows it is the list of values. */
    private const KEY = "\x0a";

    /** @throws ProtocolException */
    public static function decode(Frame $frame): Request
    {
        $bytes = $frame->bytes;
        $at = $frame->start;
        $end = $frame->split();
        $remoteAddress = $protocol = $method = $uri = $query = $uploads = '';
        $headers = $cookies = $attributes = [];
        $parsed = false;

        while ($at < $end) {
            $tag = \ord($bytes[$at]);
            $length = \ord($bytes[$at + 1] ?? '');
            $at += 2;
            if ($length > 0x7f) {
                $length = self::longer($bytes, $at, $length);
            }
            switch ($tag) {
                case self::HEADER:
                case self::COOKIE:
                case self::ATTRIBUTE:
                    $key = '';
                    $values = [];
                    $entry = $at + $length;
                    while ($at < $entry) {
                        $part = $bytes[$at] ?? '';
                        $length = \ord($bytes[$at + 1] ?? '');
                        $at += 2;
                        if ($length > 0x7f) {
                            $length = self::longer($bytes, $at, $length);
                        }
                        if ($part === self::KEY) {
                            $key = \substr($bytes, $at, $length);
                            $at += $length;
                            continue;
                        }
                        $list = $at + $length;
                        while ($at < $list) {
                            $length = \ord($bytes[$at + 1] ?? '');
                            $at += 2;
                            if ($length > 0x7f) {
                                $length = self::longer($bytes, $at, $length);
                            }
                            $values[] = \substr($bytes, $at, $length);
                            $at += $length;
                        }
                    }
                    if ($tag === self::HEADER) {
                        $headers[$key] = $values;
                    } elseif ($tag === self::COOKIE) {
                        $cookies[$key] = $values[0] ?? '';
                    } else {
                        $attributes[$key] = $values;
                    }
                    continue 2;
                case self::REMOTE_ADDRESS:
                    $remoteAddress = \substr($bytes, $at, $length);
                    break;
                case self::PROTOCOL:
                    $protocol = \substr($bytes, $at, $length);
                    break;
                case self::METHOD:
                    $method = \substr($bytes, $at, $length);
                    break;
                case self::URI:
                    $uri = \substr($bytes, $at, $length);
                    break;
                case self::QUERY:
                    $query = \substr($bytes, $at, $length);
                    break;
                case self::UPLOADS:
                    $uploads = \substr($bytes, $at, $length);
                    break;
                case self::PARSED:
                    $parsed = $length !== 0;
                    continue 2; // What was read as a length is the value itself.
                default: // A field of a later version: passed over.
                    if (($tag & 7) !== 2) {
                        throw new ProtocolException("a field of the request has the unknown tag $tag");
                    }
            }
            $at += $length;
        }
        if ($at !== $end) {
            throw new ProtocolException('the request does not end where it should');
        }
        return new Request(
            $remoteAddress,
            $protocol,
            $method,
            $uri,
            $headers,
            $cookies,
            $query,
            $parsed,
            $uploads,
            $attributes,
            $frame->body(),
        );
    }

    /** The rest of a number of several bytes, of which the first is given. */
    private static function longer(string $bytes, int &$at, int $first): int
    {
        $number = $first & 0x7f;
        for ($shift = 7; $shift < 35; $shift += 7) {
            $byte = \ord($bytes[$at++] ?? '');
            $number |= ($byte & 0x7f) << $shift;
            if ($byte < 0x80) {
                return $number;
            }
        }
        throw new ProtocolException('a length in the request has too many bytes');
    }
}
