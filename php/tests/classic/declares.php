<?php

/** A script that PHP can include only once in a process. */

function declared(): string
{
    return 'pid ' . getmypid();
}

echo declared();
