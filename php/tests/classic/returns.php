<?php

/** A script that sets up once and returns what is to be done for each request. */

$booted = uniqid();

return static function () use ($booted): void {
    static $count = 0;
    $count++;
    echo "$booted $count {$_GET['x']}";
};
