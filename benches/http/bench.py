#!/usr/bin/env python3
"""Compares HTTP servers in front of the same PHP worker; README.md says how to read it.

usage: RR_BIN=/path/to/reference benches/http/bench.py [scenario ...] [options]
"""

import argparse
import json
import os
import platform
import time

import report
import scenarios
import servers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="*", default=["raw"], help=f"all, or of: {', '.join(scenarios.ALL)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of load, each server each round")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ours", help="the binary to measure (target/release/rr-supervisor)")
    parser.add_argument("--only", help="servers to take, separated by commas")
    parser.add_argument("--server", action="append", default=[], help="one more: 'name=command -c {config}'")
    parser.add_argument("--json", help="file to write all rows to")
    arguments = parser.parse_args()

    names = list(scenarios.ALL) if "all" in arguments.scenario else arguments.scenario
    found = servers.available(arguments.ours, arguments.server)
    if arguments.only:
        found = [server for server in found if server.name in arguments.only.split(",")]
    options = scenarios.Options(arguments.rounds, arguments.seconds, arguments.connections, arguments.workers)

    print(f"{platform.platform()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.2f}, {time.strftime('%F %T')}")
    print(f"{options.rounds} rounds of {options.seconds} s, {options.connections} connections, {options.workers} workers; medians\n")
    result = {}
    for name in names:
        print(f"## {name}: {scenarios.ALL[name].__doc__}\n", flush=True)
        result[name] = scenarios.ALL[name](found, options)
        report.table(result[name])
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"options": vars(options), "rows": result}, file, indent=1)


if __name__ == "__main__":
    main()
