<?php

declare(strict_types=1);

use Rr\Metrics\Collector;
use Rr\Metrics\Metrics;
use Rr\Rpc\Client;

/** A fake server that answers every call and writes down what it got; returns the calls that the test made. */
$with = static function (callable $test): array {
    $path = \sys_get_temp_dir() . '/rr-metrics-' . \getmypid() . '.sock';
    $server = [\PHP_BINARY, __DIR__ . '/Support/log-server.php', $path];
    $process = \proc_open($server, [1 => ['pipe', 'w']], $pipes);
    same("ready\n", \fgets($pipes[1]));
    try {
        $test(new Metrics(new Client("unix://$path", 1)));
    } finally {
        \proc_terminate($process);
        $said = (string) \stream_get_contents($pipes[1]);
        \proc_close($process);
        @\unlink($path);
    }
    return \array_values(\array_filter(\explode("\n", $said)));
};

return [
    'each method has its call' => static fn () => same([
        'metrics.Add {"name":"c","value":1.0,"labels":[]}',
        'metrics.Add {"name":"c","value":2.5,"labels":["fr","7"]}',
        'metrics.Sub {"name":"g","value":1.0,"labels":[]}',
        'metrics.Set {"name":"g","value":-3.0,"labels":["x"]}',
        'metrics.Observe {"name":"h","value":0.25,"labels":[]}',
        'metrics.Unregister "h"',
    ], $with(static function (Metrics $metrics): void {
        $metrics->add('c');
        $metrics->add('c', 2.5, [3 => 'fr', 5 => 7]);
        $metrics->sub('g');
        $metrics->set('g', -3, ['x']);
        $metrics->observe('h', 0.25);
        $metrics->unregister('h');
    })),
    'declarations' => static fn () => same([
        'metrics.Declare {"name":"c","collector":{"type":"counter","help":"Orders.","labels":["a"],"namespace":"n","subsystem":"s"}}',
        'metrics.Declare {"name":"g","collector":{"type":"gauge","help":"","labels":[],"namespace":"","subsystem":""}}',
        'metrics.Declare {"name":"h","collector":{"type":"histogram","help":"","labels":[],"namespace":"","subsystem":"","buckets":[0.5,1]}}',
        'metrics.Declare {"name":"s","collector":{"type":"summary","help":"","labels":[],"namespace":"","subsystem":"","objectives":{"0.5":0.05,"1":0.1}}}',
        'metrics.Declare {"name":"e","collector":{"type":"summary","help":"","labels":[],"namespace":"","subsystem":"","objectives":{}}}',
    ], $with(static function (Metrics $metrics): void {
        $metrics->declare('c', Collector::counter('Orders.', ['a'], 'n', 's'));
        $metrics->declare('g', Collector::gauge());
        $metrics->declare('h', Collector::histogram(buckets: [0.5, 1]));
        $metrics->declare('s', Collector::summary(objectives: ['0.5' => 0.05, '1' => 0.1]));
        $metrics->declare('e', Collector::summary());
    })),
];
