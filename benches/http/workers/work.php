<?php

/** A measured amount of computing, the same for every server. */

declare(strict_types=1);

function compute(int $rounds): string
{
    $digest = 'seed';
    $seen = [];
    for ($i = 0; $i < $rounds; $i++) {
        $digest = md5($digest);
        $seen[substr($digest, 0, 2)] = $i;
    }

    return $digest . count($seen);
}

/** How many rounds take this many seconds of CPU time here. */
function calibrate(float $seconds): int
{
    $spent = static function (): float {
        $usage = getrusage();

        return $usage['ru_utime.tv_sec'] + $usage['ru_utime.tv_usec'] / 1e6;
    };
    compute(50000);
    $start = $spent();
    compute(1000000);

    return (int) (1000000 * $seconds / ($spent() - $start));
}
