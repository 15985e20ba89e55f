<?php

/** The part of psr/log 3 that an adapter meets, for machines without the package. */

declare(strict_types=1);

namespace Psr\Log;

class InvalidArgumentException extends \InvalidArgumentException
{
}

interface LoggerInterface
{
    public function info(string|\Stringable $message, array $context = []): void;

    public function log($level, string|\Stringable $message, array $context = []): void;
}

abstract class AbstractLogger implements LoggerInterface
{
    public function info(string|\Stringable $message, array $context = []): void
    {
        $this->log('info', $message, $context);
    }
}
