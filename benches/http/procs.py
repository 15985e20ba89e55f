"""What /proc says about a server: its processes, their CPU time, memory and wake-ups. And its end."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass

TICK = 1e6 / os.sysconf("SC_CLK_TCK")


@dataclass
class Cpu:
    """CPU time so far, in microseconds."""

    own: float
    php: float

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.own - other.own, self.php - other.php)


def _stat(pid: int) -> tuple[str, list[str]]:
    """A process' name and the fields after it (the first is its state, the second its parent)."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        text = file.read()
    name, rest = text[text.index("(") + 1 :].rsplit(")", 1)
    return name, rest.split()


def tree(root: int) -> dict[int, str]:
    """The living processes from `root` down, with their names."""
    children, names = {}, {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                name, fields = _stat(int(entry))
            except (FileNotFoundError, ProcessLookupError):
                continue
            if fields[0] == "Z":
                continue
            names[int(entry)] = name
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, todo = {}, [root]
    while todo:
        pid = todo.pop()
        if pid in names:
            found[pid] = names[pid]
            todo += children.get(pid, [])
    return found


def is_php(name: str) -> bool:
    return name.startswith("php")


def own(root: int) -> list[int]:
    """The server's own processes: everything from `root` down that is not PHP."""
    return [pid for pid, name in tree(root).items() if not is_php(name)]


def cpu(root: int) -> Cpu:
    """User and system time of all processes from `root` down, their ended children included."""
    total = Cpu(0, 0)
    for pid, name in tree(root).items():
        try:
            fields = _stat(pid)[1]
        except (FileNotFoundError, ProcessLookupError):
            continue
        # A server's ended children are workers that it replaced.
        alive = (int(fields[11]) + int(fields[12])) * TICK
        ended = (int(fields[13]) + int(fields[14])) * TICK
        if is_php(name):
            total.php += alive + ended
        else:
            total.own += alive
            total.php += ended
    return total


def pss(root: int) -> float:
    """Memory of the server's own processes in MB, shared pages counted by their share."""
    total = 0
    for pid in own(root):
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return total / 1024


def wakeups(root: int) -> int:
    """How often the threads of the server's own processes have gone to sleep so far."""
    total = 0
    for pid in own(root):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/status", encoding="utf-8") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt"))
    return total


def stop(process: subprocess.Popen, patience: float = 15) -> float:
    """Stops a server with SIGTERM; returns how many seconds that took. What does not end is killed, and whatever it leaves behind."""
    family = tree(process.pid)
    start = time.perf_counter()
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        print(f"  (had to kill {process.args[0]})")
        process.kill()
        process.wait()
    took = time.perf_counter() - start
    for pid in family:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return took
