<?php

declare(strict_types=1);

use Rr\Exception\ProtocolException;
use Rr\Kv\InvalidKey;
use Rr\Kv\PhpSerializer;
use Rr\Kv\Storage;
use Rr\Rpc\Client;
use Rr\Rpc\Proto;

return [
    'protobuf is written as the server reads it' => static function (): void {
        // What the reference was seen to take: storage "mem", and an item.
        $item = Proto::bytes(1, 'k2') . Proto::bytes(2, "\x00\xff") . Proto::bytes(3, '2026-11-22T19:05:53+00:00');
        $expected = hex('0a036d656d 1223 0a026b32 120200ff 1a19') . '2026-11-22T19:05:53+00:00';
        same($expected, Proto::bytes(1, 'mem') . Proto::bytes(2, $item));
        same('', Proto::bytes(2, ''));
        same(hex('1200'), Proto::bytes(2, '', true));
        same(hex('1aac02'), \substr(Proto::bytes(3, \str_repeat('x', 300)), 0, 3));
    },
    'numbers and texts come back' => static function (): void {
        foreach ([0, 1, 127, 128, 300, PHP_INT_MAX, -1, PHP_INT_MIN] as $number) {
            same([[3, $number]], Proto::fields(Proto::int(3, $number)));
        }
        $fields = Proto::fields(Proto::bytes(1, 'a') . Proto::int(2, 5) . hex('1d 01020304') . Proto::bytes(1, 'b'));
        same([[1, 'a'], [2, 5], [3, "\1\2\3\4"], [1, 'b']], $fields);
        same([], Proto::fields(''));
    },
    'a broken message is an error' => static function (): void {
        foreach (['0a', '0a05 61', '08', '08ffffffffffffffffffff', '0b', '0affffffffffffffffff01'] as $digits) {
            throws(ProtocolException::class, static fn () => Proto::fields(hex($digits)));
        }
    },
    'whole numbers are digits, the rest is PHP\'s own form' => static function (): void {
        $serializer = new PhpSerializer();
        same('-5', $serializer->serialize(-5));
        same('s:2:"-5";', $serializer->serialize('-5'));
        foreach ([0, -5, PHP_INT_MIN, '-5', '', 0.5, true, false, null, [1, 'a' => null]] as $value) {
            same($value, $serializer->unserialize($serializer->serialize($value)));
        }
        // The public package's numbers.
        same(5, $serializer->unserialize('i:5;'));
        foreach (['', '05', '9223372036854775808', 'x', 's:9:"a";'] as $bytes) {
            throws(\UnexpectedValueException::class, static fn () => $serializer->unserialize($bytes));
        }
    },
    'a key that PSR-16 forbids never reaches the server' => static function (): void {
        $kv = new Storage(new Client('unix:///nowhere'), 's');
        foreach (['', 'a{', 'a}', 'a(', 'a)', 'a/', 'a\\', 'a@', 'a:b'] as $key) {
            foreach (['get', 'delete', 'has', 'ttl', 'incr', 'decr'] as $method) {
                throws(InvalidKey::class, static fn () => $kv->$method($key));
            }
            throws(InvalidKey::class, static fn () => $kv->set($key, 1));
            throws(InvalidKey::class, static fn () => $kv->getMultiple(['a', $key]));
            throws(InvalidKey::class, static fn () => $kv->compareAndSwap($key, 1, 2));
        }
    },
];
