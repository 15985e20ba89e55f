<?php

declare(strict_types=1);

namespace Rr\Services;

/** A process of a service. */
final class Process
{
    /**
     * @param float  $cpu    percent of one processor since its start
     * @param int    $memory resident bytes
     * @param string $error  how it ended; empty while it runs
     */
    public function __construct(
        public readonly int $pid,
        public readonly string $command,
        public readonly float $cpu,
        public readonly int $memory,
        public readonly string $error,
    ) {
    }

    public function isRunning(): bool
    {
        return $this->error === '';
    }

    /**
     * @internal
     * @param array<string, mixed> $answer the server leaves out what is zero or empty
     */
    public static function fromAnswer(array $answer): self
    {
        return new self(
            $answer['pid'] ?? 0,
            $answer['command'] ?? '',
            (float) ($answer['cpu_percent'] ?? 0),
            $answer['memory_usage'] ?? 0,
            $answer['status']['message'] ?? '',
        );
    }
}
