"""Checks deny.toml's rules (licences, bans, duplicate versions, sources) against the lock file, offline.

cargo-deny does the same and more, but installing it costs CI minutes of compiling, and its advisories need GitHub.
Bans and duplicate versions are looked at in what the shipped binaries are built from, licences and sources everywhere.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict

RULES = tomllib.load(open("deny.toml", "rb"))


def allowed(expression: str, licences: set[str]) -> bool:
    """Whether an SPDX expression can be met with the allowed licences. `/` is an old way of writing OR."""
    tokens = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))

    def either() -> bool:
        result = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            result = both() or result
        return result

    def both() -> bool:
        result = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            result = one() and result
        return result

    def one() -> bool:
        token = tokens.pop(0)
        if token == "(":
            result = either()
            tokens.pop(0)
            return result
        if tokens[:1] == ["WITH"]:
            token = " ".join([token, tokens.pop(0), tokens.pop(0)])
        return token in licences

    return either() and not tokens


def shipped(metadata: dict) -> set[str]:
    """Ids of the packages that end up in, or build, the binaries: no development dependencies."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    tests = {p["id"] for p in metadata["packages"] if p["name"] == "rr-tests"}
    todo, seen = [m for m in metadata["workspace_members"] if m not in tests], set()
    while todo:
        if (package := todo.pop()) in seen:
            continue
        seen.add(package)
        for dependency in nodes[package]["deps"]:
            if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"]):
                todo.append(dependency["pkg"])
    return seen


def findings(metadata: dict) -> list[str]:
    licences = set(RULES["licenses"]["allow"])
    registries = {f"registry+{url}" for url in RULES["sources"]["allow-registry"]}
    banned = {rule["crate"]: rule["reason"] for rule in RULES["bans"]["deny"]}
    doubled = {rule["crate"] for rule in RULES["bans"]["skip"]}
    ours, versions, everywhere, found = shipped(metadata), defaultdict(set), defaultdict(set), []
    for package in metadata["packages"]:
        name = f"{package['name']} {package['version']}"
        if package["source"] is not None:
            if package["source"] not in registries:
                found.append(f"{name}: source {package['source']} is not allowed")
            if not allowed(package["license"] or "none", licences):
                found.append(f"{name}: licence {package['license']} is not allowed")
        everywhere[package["name"]].add(package["version"])
        if package["id"] in ours:
            versions[package["name"]].add(package["version"])
            if package["name"] in banned:
                found.append(f"{name}: banned ({banned[package['name']]})")
    for name, several in versions.items():
        if len(several) > 1 and name not in doubled:
            found.append(f"{name}: several versions ({', '.join(sorted(several))})")
    for name in sorted(doubled):
        if len(everywhere[name]) < 2:
            found.append(f"{name}: has one version now, take its exception out of deny.toml")
    return found


def main() -> int:
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    for target in RULES["graph"]["targets"]:
        command += ["--filter-platform", target]
    found = findings(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    for line in found:
        print(f"deny: {line}")
    print(f"deny: {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
