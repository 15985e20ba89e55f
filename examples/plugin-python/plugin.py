"""A plugin of our own in Python: spelling suggestions for PHP, as the RPC method words.Suggest.

It speaks rr.control.v1, of which it knows nothing but the contract's file. docs/writing-a-plugin.md explains each step.
"""

import difflib
import json
import os
import pathlib
import signal
import sys
import threading
import time
from concurrent import futures

import grpc

# grpcio-tools makes the messages and services from the contract itself, at the start: nothing generated has to be kept.
# In a project of your own, copy control.proto beside your program and name its folder here.
sys.path.append(str(pathlib.Path(__file__).parents[2] / "rr-common/proto"))
pb, rpc = grpc.protos_and_services("rr/control/v1/control.proto")

NAME = os.environ["RR_PLUGIN"]
JSON = 0x08  # the codec in which PHP's client sends arguments, unless it is told otherwise
OPTIONS = [
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    # gRPC for Python calls the server by its socket's path, which is no host name; the supervisor's HTTP/2 then resets the call.
    ("grpc.default_authority", "localhost"),
]


class Words(rpc.PluginServicer):
    """What the supervisor asks of us."""

    def __init__(self):
        self.words, self.count, self.trouble = [], 3, "not started"
        self.calls = 0
        self.lock = threading.Lock()
        self.stop_by, self.replaced = 0, False
        self.stopping = threading.Event()

    def configure(self, section):
        """Reads our own section of the configuration."""
        self.count = int(section.get("count", 3))
        with open(section["file"], encoding="utf-8") as file:
            self.words = file.read().split()
        self.trouble = "" if self.words else f"{section['file']} has no words"

    def Health(self, request, context):
        return pb.HealthResponse(unhealthy=self.trouble)

    def Ready(self, request, context):
        return pb.ReadyResponse(ready=not self.stopping.is_set(), reason="stopping")

    def Call(self, request, context):
        if request.method != "Suggest":
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "")
        if request.codec != JSON:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "words.Suggest takes JSON")
        word = json.loads(request.body)
        if not isinstance(word, str):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "words.Suggest takes one word")
        with self.lock:
            self.calls += 1
        found = difflib.get_close_matches(word, self.words, self.count)
        return pb.CallResponse(body=json.dumps(found).encode())

    def Metrics(self, request, context):
        return pb.MetricsResponse(
            text="# HELP words_suggest_calls_total Words that were looked up.\n"
            "# TYPE words_suggest_calls_total counter\n"
            f"words_suggest_calls_total {self.calls}\n"
        )

    def Drain(self, request, context):
        return pb.DrainResponse()

    def Stop(self, request, context):
        self.stop_by = time.monotonic() + request.deadline_ms / 1000
        self.replaced = request.replaced
        self.stopping.set()
        return pb.StopResponse()


def main():
    plugin = Words()
    signal.signal(signal.SIGTERM, lambda *_: plugin.stopping.set())
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), options=OPTIONS)
    rpc.add_PluginServicer_to_server(plugin, server)
    socket = f"{os.environ['RR_CONTROL_DIR']}/{NAME}.{os.getpid()}.sock"
    server.add_insecure_port(f"unix:{socket}")
    server.start()

    supervisor = rpc.SupervisorStub(grpc.insecure_channel(f"unix:{os.environ['RR_CONTROL']}", options=OPTIONS))
    registration = pb.RegisterRequest(
        plugin=NAME, plugin_version="1.0", contract_version=1, pid=os.getpid(), socket=socket, rpc_prefixes=["words"]
    )
    try:
        supervisor.Register(registration, timeout=10)
    except grpc.RpcError as refused:
        sys.exit(f"the supervisor refuses this plugin: {refused.details()}")
    configurations = supervisor.WatchConfig(pb.WatchConfigRequest(plugin=NAME))
    config = json.loads(next(configurations).config)
    try:
        plugin.configure(config.get(NAME, {}))
    except (KeyError, OSError, ValueError) as error:
        supervisor.Started(pb.StartedRequest(plugin=NAME, error=f"the section {NAME}: {error}"), timeout=10)
        sys.exit(1)
    supervisor.Started(pb.StartedRequest(plugin=NAME), timeout=10)
    print(f"{len(plugin.words)} words are known", flush=True)

    threading.Thread(target=watch, args=(configurations, plugin), daemon=True).start()
    plugin.stopping.wait()
    if plugin.replaced:
        # Calls go to the next process now; some may have been on their way to this one.
        time.sleep(0.5)
    # No new calls; those that run may finish.
    server.stop(grace=max(0, plugin.stop_by - time.monotonic() - 1)).wait()


def watch(configurations, plugin):
    """The end of the stream of configurations is the end of the supervisor: serve on a little, then go."""
    try:
        for _ in configurations:
            pass
    except grpc.RpcError:
        pass
    plugin.stopping.wait(2)
    plugin.stopping.set()


main()
