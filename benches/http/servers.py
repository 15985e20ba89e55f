"""The servers that are compared: how each is configured, started, asked and stopped."""

import glob
import http.client
import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import procs

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@dataclass
class Setup:
    """What one measurement asks of a server."""

    worker: str = "raw.php"
    workers: int = 2
    pool: dict[str, str] = field(default_factory=dict)
    log_level: str = "error"
    env: dict[str, str] = field(default_factory=dict)
    rpc: bool = False


class Running:
    """A started server: its process, its port, its folder of temporary files."""

    def __init__(self, argv: list[str], port: int, folder: Path, env: dict[str, str]):
        self.port, self.folder = port, folder
        self.started = time.perf_counter()
        self.output = open(folder / "output", "wb")
        self.process = subprocess.Popen(
            argv, cwd=folder, env=os.environ | env, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output
        )
        self.pid = self.process.pid

    def ask(self, path: str = "/", timeout: float = 10) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def first_answer(self, timeout: float = 20) -> float:
        """Waits until the server answers; returns the seconds since its start."""
        while time.perf_counter() - self.started < timeout:
            if self.process.poll() is not None:
                break
            try:
                if self.ask()[0] == 200:
                    return time.perf_counter() - self.started
            except (ConnectionError, http.client.HTTPException):
                pass
            time.sleep(0.0005)
        said = "".join(path.read_text()[-2000:] for name in ("output", "log") if (path := self.folder / name).exists())
        self.stop()
        raise RuntimeError(f"no answer from {self.process.args}:\n{said}")

    def stop(self) -> float:
        """Stops the server with SIGTERM; returns how many seconds that took. A server that does not end is killed."""
        took = procs.stop(self.process)
        self.output.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return took


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="bench-http-"))


class Configured:
    """A server that reads `.rr.yaml`: ours, the reference, or any command with `{config}` in it."""

    def __init__(self, name: str, command: list[str], own_keys: bool):
        self.name, self.command, self.own_keys = name, command, own_keys

    def start(self, setup: Setup) -> Running:
        folder, port = temporary(), free_port()
        pool = {"num_workers": setup.workers, **setup.pool}
        lines = [
            'version: "3"',
            "server:",
            f'  command: "php {HERE / "workers" / setup.worker}"',
            "http:",
            f'  address: "127.0.0.1:{port}"',
            "  pool:",
            *(f"    {key}: {value}" for key, value in pool.items()),
            "logs:",
            "  mode: production",
            "  encoding: json",
            f"  level: {setup.log_level}",
            f'  output: "{folder / "log"}"',
            f'  err_output: "{folder / "log"}"',
        ]
        if setup.rpc:
            lines += ["rpc:", f"  listen: tcp://127.0.0.1:{free_port()}"]
        config = folder / ".rr.yaml"
        config.write_text("\n".join(lines) + "\n")
        return Running([word.format(config=config) for word in self.command], port, folder, setup.env)


class Floor:
    """The bare loop of floor.c; it answers fixed bytes only."""

    name, own_keys = "floor", False

    def __init__(self, binary: Path):
        self.binary = binary

    def start(self, setup: Setup) -> Running:
        port = free_port()
        worker = ["php", str(HERE / "workers" / setup.worker)]
        return Running([str(self.binary), str(port), str(setup.workers), *worker], port, temporary(), setup.env)


class NginxFpm:
    """nginx in front of php-fpm; a shell holds both, so that they stop together."""

    name, own_keys = "nginx+fpm", False

    def __init__(self, fpm: str):
        self.fpm = fpm

    def start(self, setup: Setup) -> Running:
        folder, port = temporary(), free_port()
        script = HERE / "workers" / ("fpm.php" if setup.worker == "raw.php" else "realistic_fpm.php")
        folder.chmod(0o755)
        user = "user www-data;" if os.geteuid() == 0 else ""
        pool_user = "user = www-data\ngroup = www-data\nlisten.owner = www-data" if os.geteuid() == 0 else ""
        environment = "\n".join(f"env[{key}] = {value}" for key, value in setup.env.items())
        (folder / "nginx.conf").write_text(f"""
            daemon off; worker_processes {os.cpu_count()}; pid {folder}/nginx.pid; {user} error_log {folder}/error.log;
            events {{ worker_connections 16384; }}
            http {{ access_log off; keepalive_requests 1000000000; server {{
                listen 127.0.0.1:{port} backlog=1024; location / {{
                fastcgi_pass unix:{folder}/fpm.sock;
                fastcgi_param SCRIPT_FILENAME {script}; fastcgi_param REQUEST_METHOD $request_method;
                fastcgi_param QUERY_STRING $query_string; fastcgi_param REQUEST_URI $request_uri;
                fastcgi_param SERVER_PROTOCOL $server_protocol; fastcgi_param REMOTE_ADDR $remote_addr;
            }} }} }}""")
        (folder / "fpm.conf").write_text(f"""[global]
error_log = {folder}/fpm.log
daemonize = no
[bench]
{pool_user}
listen = {folder}/fpm.sock
listen.backlog = 4096
pm = static
pm.max_children = {setup.workers}
{environment}
""")
        command = f"{self.fpm} -y fpm.conf -R & nginx -c $PWD/nginx.conf & trap 'kill %1 %2; wait' TERM; wait"
        return Running(["bash", "-c", command], port, folder, {})


def available(binary: str | None, extra: list[str]) -> list:
    """The servers that can be started here, and on the terminal why others cannot."""
    found = []
    ours = Path(binary) if binary else ROOT / "target/release/rr-supervisor"
    if ours.exists():
        found.append(Configured("ours", [str(ours), "serve", "-c", "{config}"], own_keys=True))
    else:
        print(f"without ours: {ours} is missing (cargo build --release)")
    if reference := os.environ.get("RR_BIN"):
        found.append(Configured("reference", [reference, "serve", "-c", "{config}"], own_keys=False))
    else:
        print("without the reference: RR_BIN names no binary")
    if compiler := shutil.which("cc"):
        floor = ROOT / "target/bench-floor"
        floor.parent.mkdir(exist_ok=True)
        subprocess.run([compiler, "-O2", "-o", floor, HERE / "floor.c"], check=True)
        found.append(Floor(floor))
    fpm = sorted(glob.glob("/usr/sbin/php-fpm*"))
    if fpm and shutil.which("nginx"):
        found.append(NginxFpm(fpm[-1]))
    else:
        print("without nginx + php-fpm: not installed")
    for text in extra:
        name, command = text.split("=", 1)
        found.append(Configured(name, command.split(), own_keys=True))
    return found
