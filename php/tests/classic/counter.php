<?php

class Counter
{
    private static int $count = 0;

    public static function up(): int
    {
        return ++self::$count;
    }
}
