<?php

declare(strict_types=1);

namespace Rr\Services;

use Rr\Exception\RelayException;
use Rr\Exception\RpcException;
use Rr\Rpc\Client;

/**
 * Makes and steers commands under the server's supervision. The server needs a `service` section, which may be empty.
 *
 * ```php
 * $services = Services::fromEnvironment();
 * $services->create('import', 'php import.php', processes: 2, remainAfterExit: true, restartSec: 1);
 * foreach ($services->statuses('import') as $process) {
 *     echo $process->pid, ' ', $process->isRunning() ? 'runs' : $process->error, "\n";
 * }
 * ```
 *
 * Every method throws an {@see RpcException} with what the server says, and a {@see RelayException} without a server.
 */
final class Services
{
    public function __construct(private readonly Client $rpc)
    {
    }

    /** For the server that started this worker. */
    public static function fromEnvironment(): self
    {
        return new self(Client::fromEnvironment());
    }

    /**
     * Starts a new service; returns when all of its processes have been started. If one cannot be, none stays.
     *
     * @param string                $command         split at spaces
     * @param int                   $execTimeout     seconds after which a process is killed; 0 means never
     * @param bool                  $remainAfterExit start a process again after any exit
     * @param array<string, string> $env             further variables
     * @param int                   $restartSec      seconds before a process is started again
     * @param bool                  $nameInLogs      name the service in each of its log lines
     * @param int                   $stopTimeoutSec  seconds between the request to stop and the kill
     */
    public function create(
        string $name,
        string $command,
        int $processes = 1,
        int $execTimeout = 0,
        bool $remainAfterExit = false,
        array $env = [],
        int $restartSec = 30,
        bool $nameInLogs = false,
        int $stopTimeoutSec = 5,
    ): void {
        $this->rpc->call('service.Create', [
            'name' => $name,
            'command' => $command,
            'process_num' => $processes,
            'exec_timeout' => $execTimeout,
            'remain_after_exit' => $remainAfterExit,
            'env' => (object) $env,
            'restart_sec' => $restartSec,
            'service_name_in_logs' => $nameInLogs,
            'timeout_stop_sec' => $stopTimeoutSec,
        ]);
    }

    /** Stops a service and forgets it; returns when its processes have gone. */
    public function terminate(string $name): void
    {
        $this->rpc->call('service.Terminate', ['name' => $name]);
    }

    /** Stops the processes of a service and starts new ones; returns when that is done. */
    public function restart(string $name): void
    {
        $this->rpc->call('service.Restart', ['name' => $name]);
    }

    /** @return list<string> the names of all services */
    public function list(): array
    {
        return $this->rpc->call('service.List', new \stdClass())['services'] ?? [];
    }

    /** @return list<Process> all processes of a service, also those that have ended */
    public function statuses(string $name): array
    {
        $answer = $this->rpc->call('service.Statuses', ['name' => $name]);
        return \array_map(Process::fromAnswer(...), $answer['status'] ?? []);
    }

    /** The last process of a service; an exception if it has ended. */
    public function status(string $name): Process
    {
        return Process::fromAnswer($this->rpc->call('service.Status', ['name' => $name]));
    }
}
