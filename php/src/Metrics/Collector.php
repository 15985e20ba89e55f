<?php

declare(strict_types=1);

namespace Rr\Metrics;

/**
 * The description of a metric, for {@see Metrics::declare()}.
 *
 * ```php
 * Collector::histogram('Time of a checkout.', buckets: [0.1, 0.5, 1, 5], labels: ['country']);
 * ```
 *
 * On the page its name is `namespace_subsystem_name`; calls use the bare name.
 */
final class Collector implements \JsonSerializable
{
    /**
     * @param list<string>                         $labels
     * @param list<float|int>                      $buckets
     * @param array<numeric-string, float|int>     $objectives
     */
    private function __construct(
        private readonly string $type,
        private readonly string $help,
        private readonly array $labels,
        private readonly string $namespace,
        private readonly string $subsystem,
        private readonly array $buckets = [],
        private readonly array $objectives = [],
    ) {
    }

    /**
     * Goes up only.
     *
     * @param list<string> $labels names of labels
     */
    public static function counter(string $help = '', array $labels = [], string $namespace = '', string $subsystem = ''): self
    {
        return new self('counter', $help, $labels, $namespace, $subsystem);
    }

    /**
     * Goes up and down.
     *
     * @param list<string> $labels names of labels
     */
    public static function gauge(string $help = '', array $labels = [], string $namespace = '', string $subsystem = ''): self
    {
        return new self('gauge', $help, $labels, $namespace, $subsystem);
    }

    /**
     * Observations in buckets.
     *
     * @param list<float|int> $buckets upper bounds, growing; none: .005 to 10
     * @param list<string>    $labels  names of labels
     */
    public static function histogram(
        string $help = '',
        array $buckets = [],
        array $labels = [],
        string $namespace = '',
        string $subsystem = '',
    ): self {
        return new self('histogram', $help, $labels, $namespace, $subsystem, $buckets);
    }

    /**
     * Observations by quantile, over the last ten minutes.
     *
     * @param array<numeric-string, float|int> $objectives quantile => tolerated error: `['0.5' => 0.05, '0.99' => 0.001]`. As
     *                                                     text: PHP makes whole numbers of keys that are floats
     * @param list<string>                     $labels     names of labels
     */
    public static function summary(
        string $help = '',
        array $objectives = [],
        array $labels = [],
        string $namespace = '',
        string $subsystem = '',
    ): self {
        return new self('summary', $help, $labels, $namespace, $subsystem, [], $objectives);
    }

    /** @return array<string, mixed> */
    public function jsonSerialize(): array
    {
        $fields = [
            'type' => $this->type,
            'help' => $this->help,
            'labels' => \array_values($this->labels),
            'namespace' => $this->namespace,
            'subsystem' => $this->subsystem,
        ];
        if ($this->type === 'histogram') {
            $fields['buckets'] = \array_values($this->buckets);
        }
        if ($this->type === 'summary') {
            $fields['objectives'] = (object) $this->objectives;
        }
        return $fields;
    }
}
