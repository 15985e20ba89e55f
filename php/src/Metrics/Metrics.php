<?php

declare(strict_types=1);

namespace Rr\Metrics;

use Rr\Exception\RelayException;
use Rr\Exception\RpcException;
use Rr\Rpc\Client;

/**
 * Counts for the server's page of metrics.
 *
 * ```php
 * $metrics = Metrics::fromEnvironment();
 * $metrics->declare('orders_total', Collector::counter('Orders taken.', labels: ['country']));
 * $metrics->add('orders_total', labels: ['fr']);
 * ```
 *
 * To declare what exists already is no error and changes nothing, so that each worker may do it when it starts. What the
 * configuration declares under `metrics.collect` need not be declared here. Label values come in the declared order.
 *
 * Every method throws {@see RpcException} with what the server says (an undeclared metric, wrong labels) and
 * {@see RelayException} when the server cannot be reached.
 */
final class Metrics
{
    public function __construct(private readonly Client $rpc)
    {
    }

    /** For the server that started this worker. */
    public static function fromEnvironment(): self
    {
        return new self(Client::fromEnvironment());
    }

    /** A new metric. */
    public function declare(string $name, Collector $collector): void
    {
        $this->rpc->call('metrics.Declare', ['name' => $name, 'collector' => $collector]);
    }

    /** Removes a metric with its numbers. */
    public function unregister(string $name): void
    {
        $this->rpc->call('metrics.Unregister', $name);
    }

    /**
     * Adds to a counter or gauge.
     *
     * @param list<string|int> $labels
     */
    public function add(string $name, float $value = 1, array $labels = []): void
    {
        $this->send('Add', $name, $value, $labels);
    }

    /**
     * Subtracts from a gauge.
     *
     * @param list<string|int> $labels
     */
    public function sub(string $name, float $value = 1, array $labels = []): void
    {
        $this->send('Sub', $name, $value, $labels);
    }

    /**
     * Sets a gauge.
     *
     * @param list<string|int> $labels
     */
    public function set(string $name, float $value, array $labels = []): void
    {
        $this->send('Set', $name, $value, $labels);
    }

    /**
     * One observation of a histogram or summary.
     *
     * @param list<string|int> $labels
     */
    public function observe(string $name, float $value, array $labels = []): void
    {
        $this->send('Observe', $name, $value, $labels);
    }

    /** @param list<string|int> $labels */
    private function send(string $method, string $name, float $value, array $labels): void
    {
        $labels = \array_map('strval', \array_values($labels));
        $this->rpc->call("metrics.$method", ['name' => $name, 'value' => $value, 'labels' => $labels]);
    }
}
