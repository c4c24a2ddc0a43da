"""``make bench``: how long things take: the vault's commands as multiples of a bare interpreter, the answers of the
agent and of the credential servers as multiples of the least that their event loop can do; and what the agent does
under load while AWS fails. With ``--check``, exit 1 if a limit is missed."""

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

import servers
import soak
import stores
import vault
from measure import Subject, in_turn, middle

import agent
from fakes.cloud import Cloud
from harness.stores import Stores
from strongroom import __version__


def main() -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("what", nargs="*", help=f"what is measured (of {', '.join(TABLES)}; default: all)")
    parser.add_argument("--runs", type=int, default=21, help="how often each command is run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=9, help="how often each server is driven (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="exit 1 if a row misses its limit")
    arguments = parser.parse_args()
    if sys.platform == "win32":
        parser.error("programs are started and measured as POSIX has it")
    for name in arguments.what:
        if name not in TABLES:
            parser.error(f"there is no {name!r}")
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"strongroom {__version__}, {python}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores")
    missed = []
    for name, measure in TABLES.items():
        if name in arguments.what or not arguments.what:
            with tempfile.TemporaryDirectory(prefix="bench-") as path:
                missed += measure(Path(path), arguments)
            print(flush=True)
    return 1 if arguments.check and missed else 0


def of_vault(path: Path, arguments: argparse.Namespace) -> list[str]:
    with Cloud().serve() as cloud:
        subjects = vault.subjects(path, cloud)
        in_turn(subjects, max(arguments.runs, 1))
    return print_table(subjects)


def of_agent(path: Path, arguments: argparse.Namespace) -> list[str]:
    return agent.print_table(agent.measure(path, max(arguments.rounds, 1)))


def of_soak(path: Path, _arguments: argparse.Namespace) -> list[str]:
    report = soak.soak(path, soak.Load())
    report.print()
    return list(report.troubles)


def of_servers(path: Path, arguments: argparse.Namespace) -> list[str]:
    return servers.print_table(servers.measure(path, max(arguments.rounds, 1)))


def of_stores(path: Path, arguments: argparse.Namespace) -> list[str]:
    with Cloud().serve() as cloud, Stores(path) as made:
        rows, counts = stores.subjects(path, cloud, made)
        in_turn(rows, max(arguments.runs, 1))
    over = print_table(rows)
    for name, (opened, started) in counts.items():
        print(f"{name}: {opened} items opened, {started} programs started")
    return over


TABLES = {"vault": of_vault, "stores": of_stores, "agent": of_agent, "servers": of_servers, "soak": of_soak}


def print_table(subjects: list[Subject]) -> list[str]:
    """Print it; returns the names of the rows that are over their limits."""
    by_name = {subject.name: subject for subject in subjects}
    bare = by_name[vault.BARE]
    print(f"{len(bare.runs)} runs of each, in turn; x: median of the ratios to the bare interpreter of the same turn")
    print()
    print(f"{'':42}{'wall ms':>8}{'wall x':>8}  {'quartiles':14}{'CPU x':>7}{'peak MB':>9}  limit")
    over = []
    for subject in subjects:
        low, wall, high = middle(subject.ratios(bare))
        milliseconds = middle([run.wall * 1000 for run in subject.runs])[1]
        memory = max(run.memory for run in subject.runs) / 1e6
        row = f"{subject.name:42}{milliseconds:8.1f}{wall:8.2f}  {f'[{low:.2f}, {high:.2f}]':14}"
        row += f"{middle(subject.ratios(bare, 'cpu'))[1]:7.2f}{memory:9.1f}"
        if subject.name in vault.LIMITS:
            limit, other = vault.LIMITS[subject.name]
            got = middle(subject.ratios(by_name[other]))[1]
            verdict = "within" if got <= limit else "over"
            over += [subject.name] if got > limit else []
            base = "" if other == vault.BARE else f" of the cached export with 10: {got:.2f}"
            row += f"  {verdict} {limit:g} x{base}"
        print(row)
    return over


if __name__ == "__main__":
    sys.exit(main())
