#!/usr/bin/env python3
"""Compares RPC servers called from PHP; README.md says how to read it.

usage: RR_BIN=/path/to/reference benches/rpc/bench.py [get version] [options]
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.append(str(ROOT / "benches/http"))

import calls  # noqa: E402
import procs  # noqa: E402
import report  # noqa: E402
import servers  # noqa: E402


class Running:
    """A started server in a folder of its own."""

    def __init__(self, argv: list[str], folder: Path, address: str):
        self.folder, self.address = folder, address
        self.output = open(folder / "output", "wb")
        self.process = subprocess.Popen(argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output)
        self.pid = self.process.pid

    def wait_for(self, call: bytes) -> bytes:
        """Waits until the call is answered; gives the answer."""
        end = time.monotonic() + 20
        while True:
            try:
                return calls.ask(self.address, call)
            except (OSError, RuntimeError) as error:
                if time.monotonic() > end or self.process.poll() is not None:
                    said = (self.folder / "output").read_text()[-2000:]
                    raise RuntimeError(f"no answer from {self.process.args}: {error}\n{said}") from error
            time.sleep(0.01)

    def stop(self) -> None:
        procs.stop(self.process)
        self.output.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def address(transport: str, folder: Path) -> str:
    return f"tcp://127.0.0.1:{servers.free_port()}" if transport == "tcp" else f"unix://{folder}/rpc.sock"


class Configured:
    """A server that reads `.rr.yaml`."""

    def __init__(self, name: str, command: list[str]):
        self.name, self.command = name, command

    def start(self, transport: str, call: bytes, answer: bytes) -> Running:
        folder = servers.temporary()
        where = address(transport, folder)
        (folder / ".rr.yaml").write_text(
            f'version: "3"\nrpc: {{listen: "{where}"}}\nkv: {{mem: {{driver: memory, config: {{}}}}}}\n'
            "logs: {mode: production, level: error}\n"
        )
        return Running([word.format(config=folder / ".rr.yaml") for word in self.command], folder, where)


class Floor:
    """The bare loop of floor.c."""

    name = "floor"

    def __init__(self, binary: Path):
        self.binary = binary

    def start(self, transport: str, call: bytes, answer: bytes) -> Running:
        folder = servers.temporary()
        where = address(transport, folder)
        listen = where.rsplit(":", 1)[1] if transport == "tcp" else where.removeprefix("unix://")
        return Running([str(self.binary), listen, str(len(call)), answer.hex()], folder, where)


def available(binary: str | None, extra: list[str]) -> list:
    ours = Path(binary).resolve() if binary else ROOT / "target/release/rr-supervisor"
    found = []
    if ours.exists():
        found.append(Configured("ours", [str(ours), "serve", "-c", "{config}"]))
    else:
        print(f"without ours: {ours} is missing (cargo build --release)")
    if reference := os.environ.get("RR_BIN"):
        found.append(Configured("reference", [reference, "serve", "-c", "{config}"]))
    else:
        print("without the reference: RR_BIN names no binary")
    if compiler := shutil.which("cc"):
        floor = ROOT / "target/bench-rpc-floor"
        floor.parent.mkdir(exist_ok=True)
        subprocess.run([compiler, "-O2", "-o", floor, HERE / "floor.c"], check=True)
        found.append(Floor(floor))
    found += [Configured(name, command.split()) for name, command in (text.split("=", 1) for text in extra)]
    return found


def measure(running: Running, call: bytes, answer: bytes, clients: int, seconds: float) -> report.Row:
    """The time of a call, and what it costs the server, with that many PHP processes that call one after the other."""
    argv = ["php", "-n", str(HERE / "client.php"), running.address, call.hex(), answer.hex(), str(seconds)]
    started = [
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(clients)
    ]
    for client in started:
        if (said := client.stdout.readline()) != "ready\n":
            raise RuntimeError(f"{running.address}: {said}")
    before, start = procs.cpu(running.pid), time.perf_counter()
    for client in started:
        client.stdin.write("go\n")
        client.stdin.flush()
    told = [client.communicate()[0] for client in started]
    took, used = time.perf_counter() - start, procs.cpu(running.pid) - before
    results = [json.loads(text) for text in told]
    done = sum(result["calls"] for result in results)
    return {
        "calls/s": done / took,
        "mean µs": sum(result["mean"] for result in results) / clients / 1000,
        "p50 µs": sum(result["p50"] for result in results) / clients / 1000,
        "p99 µs": max(result["p99"] for result in results) / 1000,
        "own CPU µs/call": used.own / done,
    }


def compare(found: list, name: str, transport: str, clients: int, options: argparse.Namespace) -> dict[str, report.Row]:
    """All servers in turn, once a round."""
    call = calls.CALLS[name]
    rows, answers = defaultdict(list), {}
    for _ in range(options.rounds):
        # The floor gives back what a real server has answered.
        for server in sorted(found, key=lambda server: isinstance(server, Floor) and not answers):
            known = next(iter(answers.values()), b"")
            running = server.start(transport, call, known)
            try:
                if not isinstance(server, Floor) and name == "get":
                    running.wait_for(calls.STORE)
                answers[server.name] = running.wait_for(call)
                rows[server.name].append(measure(running, call, answers[server.name], clients, options.seconds))
            finally:
                running.stop()
    return {name: report.medians(several) for name, several in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("call", nargs="*", default=["get"], help=f"of: {', '.join(calls.CALLS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of calls, each server each round")
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 4], help="PHP processes")
    parser.add_argument("--transports", nargs="*", default=["tcp", "unix"])
    parser.add_argument("--ours", help="the binary to measure (target/release/rr-supervisor)")
    parser.add_argument("--only", help="servers to take, separated by commas")
    parser.add_argument("--server", action="append", default=[], help="one more: 'name=command -c {config}'")
    options = parser.parse_args()
    found = available(options.ours, options.server)
    if options.only:
        found = [server for server in found if server.name in options.only.split(",")]
    print(f"{platform.platform()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.2f}, {time.strftime('%F %T')}")
    print(f"{options.rounds} rounds of {options.seconds} s; medians\n")
    for name in options.call:
        for transport in options.transports:
            for clients in options.clients:
                print(f"## {name}, {transport}, {clients} PHP client{'s' * (clients > 1)}\n", flush=True)
                report.table(compare(found, name, transport, clients, options))


if __name__ == "__main__":
    main()
