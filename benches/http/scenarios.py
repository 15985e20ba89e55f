"""What is measured. Each scenario takes the servers in turn, A B A B, and returns one row of medians a server."""

import http.client
import resource
import socket
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import quantiles

import load
import procs
import report
from servers import Running, Setup

HERE = Path(__file__).parent
Rows = dict[str, report.Row]


@dataclass
class Options:
    rounds: int
    seconds: float
    connections: int
    workers: int


def in_turn(servers: list, rounds: int, setup: Setup, measure: Callable[[Running], report.Row]) -> Rows:
    """Starts, checks, measures and stops every server once a round."""
    rows = defaultdict(list)
    for _ in range(rounds):
        for server in servers:
            running = server.start(setup)
            try:
                running.first_answer()
                check(running, setup)
                rows[server.name].append(measure(running))
            finally:
                running.stop()
    return {name: report.medians(several) for name, several in rows.items()}


def check(running: Running, setup: Setup) -> None:
    """A server that answers quickly but wrongly is not measured."""
    for _ in range(2 * setup.workers):
        status, body = running.ask("/users/7?page=2")
        right = body == b"Hello RoadRunner!" if setup.worker in ("raw.php", "slow.php") else body.startswith(b'{"id":7,"page":2,')
        if status != 200 or not right:
            raise RuntimeError(f"wrong answer from {running.process.args}: {status} {body[:200]!r}")


def under_load(options: Options) -> Callable[[Running], report.Row]:
    def measure(running: Running) -> report.Row:
        load.wrk(running.port, 1, options.connections)
        before = procs.cpu(running.pid)
        seen = load.wrk(running.port, options.seconds, options.connections)
        used = procs.cpu(running.pid) - before
        if seen.errors:
            print(f"  ({seen.errors} errors from {running.process.args[0]})")
        return {
            "requests/s": seen.rate,
            "p50 µs": seen.p50,
            "p99 µs": seen.p99,
            "own CPU µs/request": used.own / seen.requests,
            "PHP CPU µs/request": used.php / seen.requests,
            "own memory MB": procs.pss(running.pid),
        }

    return measure


def raw(servers: list, options: Options) -> Rows:
    """A worker that answers a fixed frame: what the server itself costs."""
    return in_turn(servers, options.rounds, Setup(workers=options.workers), under_load(options))


def pipeline(servers: list, options: Options) -> Rows:
    """The same with the opt-in `pool.pipeline: 2` where it exists."""
    setup = Setup(workers=options.workers, pool={"pipeline": "2"})
    ours = [server for server in servers if server.own_keys]
    rows = in_turn([s for s in servers if s.name == "reference"], options.rounds, Setup(workers=options.workers), under_load(options))
    return in_turn(ours, options.rounds, setup, under_load(options)) | rows


def logs(servers: list, options: Options) -> Rows:
    """The same with one JSON log line per request, written to a file."""

    def measure(running: Running) -> report.Row:
        row = under_load(options)(running)
        with open(running.folder / "log", encoding="utf-8") as file:
            row["log lines"] = sum(1 for line in file if '"http log"' in line)
        return row

    setup = Setup(workers=options.workers, log_level="info")
    return in_turn([s for s in servers if hasattr(s, "command")], options.rounds, setup, measure)


def workers(servers: list, options: Options) -> Rows:
    """More workers never lower the throughput."""
    rows = defaultdict(dict)
    for count in (2, 4, 8, 16):
        wide = Options(options.rounds, options.seconds, max(32, options.connections), count)
        for name, row in raw([s for s in servers if s.name != "nginx+fpm"], wide).items():
            rows[name][f"{count} workers: requests/s"] = row["requests/s"]
            rows[name][f"{count}: own CPU µs"] = row["own CPU µs/request"]
    return dict(rows)


@cache
def five_milliseconds() -> dict[str, str]:
    """How much work takes PHP 5 ms of CPU time on this machine: the same amount for every server."""
    script = "require $argv[1]; echo calibrate(0.005);"
    output = subprocess.run(["php", "-r", script, str(HERE / "workers/work.php")], check=True, capture_output=True, text=True)
    return {"BENCH_WORK": output.stdout}


def realistic(servers: list, options: Options) -> Rows:
    """A worker with PSR-7 objects and 5 ms of work."""
    setup = Setup(worker="realistic.php", workers=options.workers, env=five_milliseconds())

    def measure(running: Running) -> report.Row:
        row = under_load(options)(running)
        row["own share of CPU %"] = 100 * row["own CPU µs/request"] / (row["own CPU µs/request"] + row["PHP CPU µs/request"])
        return row

    return in_turn([s for s in servers if s.name != "floor"], options.rounds, setup, measure)


def overload(servers: list, options: Options) -> Rows:
    """Twice as many requests as the workers can take, in an open loop; the queue is bounded (64) for everybody."""
    pool = {"max_queue_size": "64", "allocate_timeout": "10s"}
    setup = Setup(worker="realistic.php", workers=options.workers, pool=pool, env=five_milliseconds())
    capacity = {}

    def measure(running: Running) -> report.Row:
        if not capacity:  # of the first server; the others meet the same rate
            capacity["rate"] = load.wrk(running.port, 2, options.workers).rate
        before = procs.cpu(running.pid)
        seen = load.open_loop(running.port, 2 * capacity["rate"], max(options.seconds, 4))
        used = procs.cpu(running.pid) - before
        cut = lambda times, n: 1000 * quantiles(times, n=100)[n - 1] if len(times) > 1 else 0.0
        return {
            "offered/s": 2 * capacity["rate"],
            "served/s": len(seen.served) / seen.seconds,
            "served p50 ms": cut(seen.served, 50),
            "served p99 ms": cut(seen.served, 99),
            "refused/s": len(seen.refused) / seen.seconds,
            "refused p99 ms": cut(seen.refused, 99),
            "failed": seen.failed,
            "own CPU ms/s": used.own / 1000 / seen.seconds,
        }

    return in_turn([s for s in servers if hasattr(s, "command")], options.rounds, setup, measure)


def reset(servers: list, options: Options) -> Rows:
    """All workers replaced under load, with requests of two seconds among fast ones."""
    slow = 2
    setup = Setup(worker="slow.php", workers=max(options.workers, 2 * slow), rpc=True)

    def measure(running: Running) -> report.Row:
        over, failed = threading.Event(), []

        def ask_slowly() -> None:
            while not over.is_set():
                try:
                    if running.ask("/slow", timeout=90)[0] != 200:
                        failed.append("status")
                except (OSError, http.client.HTTPException) as error:
                    failed.append(str(error))

        clients = [threading.Thread(target=ask_slowly) for _ in range(slow)]
        for client in clients:
            client.start()
        took = []

        def reset_now() -> None:
            command = [running.process.args[0], "reset", "-c", str(running.folder / ".rr.yaml")]
            begin = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            took.append(time.perf_counter() - begin)

        seconds = max(options.seconds, 6)
        before = load.wrk(running.port, seconds, options.connections)
        resetting = threading.Thread(target=reset_now)
        resetting.start()
        during = load.wrk(running.port, seconds, options.connections)
        resetting.join()
        over.set()
        for client in clients:
            client.join()
        row = {"reset s": took[0] if took else float("nan")}
        for name, seen in (("before", before), ("during", during)):
            row |= {f"{name}: requests/s": seen.rate, f"{name}: p99 µs": seen.p99, f"{name}: failed": seen.errors}
        return row | {"slow ones failed": len(failed)}

    return in_turn([s for s in servers if hasattr(s, "command")], options.rounds, setup, measure)


def start(servers: list, options: Options) -> Rows:
    """From start to the first answer, at rest, and from SIGTERM to the end."""
    rows = defaultdict(list)
    for _ in range(max(5, options.rounds)):
        for server in servers:
            running = server.start(Setup(workers=options.workers))
            row = {"first answer ms": 1000 * running.first_answer()}
            time.sleep(1)
            before = procs.wakeups(running.pid)
            time.sleep(3)
            row["wake-ups at rest /s"] = (procs.wakeups(running.pid) - before) / 3
            row["memory at rest MB"] = procs.pss(running.pid)
            row["stop ms"] = 1000 * running.stop()
            rows[server.name].append(row)
    return {name: report.medians(several) for name, several in rows.items()}


def idle(servers: list, options: Options) -> Rows:
    """10,000 connections that have asked once and now say nothing."""
    count = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < count + 1000:
        print(f"  idle: skipped, this user may open {hard} files only")
        return {}

    def measure(running: Running) -> report.Row:
        before, connections = procs.pss(running.pid), []
        try:
            for _ in range(count):
                connection = socket.create_connection(("127.0.0.1", running.port), timeout=10)
                connection.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
                connection.recv(4096)
                connections.append(connection)
            after = procs.pss(running.pid)
            answer = time.perf_counter()
            running.ask()
            answer = time.perf_counter() - answer
        finally:
            for connection in connections:
                connection.close()
        row = {"memory before MB": before, "with 10,000 MB": after, "KB a connection": (after - before) * 1024 / count}
        return row | {"one more answer ms": 1000 * answer}

    return in_turn(servers, 1, Setup(workers=options.workers), measure)


ALL = {f.__name__: f for f in (raw, pipeline, logs, workers, realistic, overload, reset, start, idle)}
