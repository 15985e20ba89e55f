<?php

/** Assertions: they throw, and are counted. */

declare(strict_types=1);

function assertions(int $more = 0): int
{
    static $count = 0;
    return $count += $more;
}

function same(mixed $expected, mixed $actual, string $what = ''): void
{
    assertions(1);
    if ($expected !== $actual) {
        $show = static fn (mixed $value): string => \is_string($value) && !\preg_match('//u', $value)
            ? 'hex ' . \bin2hex($value)
            : \var_export($value, true);
        throw new \AssertionError(($what === '' ? '' : "$what: ") . 'expected ' . $show($expected) . ', got ' . $show($actual));
    }
}

function contains(string $part, string $whole): void
{
    assertions(1);
    \str_contains($whole, $part) or throw new \AssertionError("\"$part\" is not in \"$whole\"");
}

/** @param class-string<\Throwable> $class */
function throws(string $class, callable $function): \Throwable
{
    assertions(1);
    try {
        $function();
    } catch (\Throwable $error) {
        return $error instanceof $class ? $error : throw $error;
    }
    throw new \AssertionError("$class was not thrown");
}

/** Bytes from hex digits; blanks are ignored. */
function hex(string $digits): string
{
    return (string) \hex2bin(\str_replace(' ', '', $digits));
}
