<?php

declare(strict_types=1);

namespace Rr\Logger;

use Psr\Log\AbstractLogger;
use Psr\Log\InvalidArgumentException;

/**
 * The server's log for code that asks for a `Psr\Log\LoggerInterface`, of any version of psr/log. That package must be there:
 * without it use {@see Logger}, which has the same methods.
 */
final class PsrLogger extends AbstractLogger
{
    public function __construct(private readonly Logger $logger)
    {
    }

    /** For the server that started this worker. */
    public static function fromEnvironment(): self
    {
        return new self(Logger::fromEnvironment());
    }

    /**
     * @param mixed                   $level
     * @param string|\Stringable      $message
     * @param array<array-key, mixed> $context
     */
    public function log($level, $message, array $context = []): void
    {
        try {
            $this->logger->log($level, $message instanceof \Stringable ? $message : (string) $message, $context);
        } catch (\InvalidArgumentException $unknown) {
            throw new InvalidArgumentException($unknown->getMessage(), 0, $unknown);
        }
    }
}
