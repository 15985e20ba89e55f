"""Load: wrk for closed loops, and an open loop of our own for more than a server can take."""

import asyncio
import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass
class Wrk:
    """What wrk saw; times in microseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    errors: int

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def wrk(port: int, seconds: float, connections: int, threads: int = 1) -> Wrk:
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
    command += ["-s", str(HERE / "report.lua"), f"http://127.0.0.1:{port}/users/7?page=2"]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 60).stdout
    seen = json.loads(output.strip().splitlines()[-1])
    return Wrk(seen["requests"], seen["duration"] / 1e6, seen["p50"], seen["p99"], seen["errors"])


@dataclass
class Open:
    """What the open loop saw: answers by kind, and how long each took, in seconds."""

    served: list[float]
    refused: list[float]
    failed: int
    seconds: float


async def _open_loop(port: int, rate: float, seconds: float) -> Open:
    seen, idle = Open([], [], 0, seconds), []

    async def one(due: float) -> None:
        writer = None
        try:
            if idle:
                reader, writer = idle.pop()
            else:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /users/7?page=2 HTTP/1.1\r\nHost: bench\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            lower = head.lower()
            if b"transfer-encoding: chunked" in lower:
                while await reader.readuntil(b"\r\n") != b"0\r\n":
                    pass
                await reader.readuntil(b"\r\n")
            elif b"content-length:" in lower:
                await reader.readexactly(int(lower.split(b"content-length:")[1].split(b"\r\n")[0]))
            took = time.perf_counter() - due
            (seen.served if head.split(b" ", 2)[1] == b"200" else seen.refused).append(took)
            if b"connection: close" in lower:
                writer.close()
            else:
                idle.append((reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            seen.failed += 1
            if writer:
                writer.close()

    tasks, start = [], time.perf_counter()
    for number in range(int(rate * seconds)):
        due = start + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(due)))
    await asyncio.gather(*tasks)
    return seen


def open_loop(port: int, rate: float, seconds: float) -> Open:
    """Sends `rate` requests a second, whatever becomes of them; each time counts from when its request was due."""
    return asyncio.run(_open_loop(port, rate, seconds))
