"""``make bench``: how long things take, as multiples of a bare interpreter. With ``--check``, exit 1 if one takes too
long."""

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

import vault
from measure import Subject, in_turn, middle

from fakes.cloud import Cloud
from strongroom import __version__


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=21, help="how often each command is run (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="exit 1 if a row is over its limit")
    arguments = parser.parse_args()
    if sys.platform == "win32":
        parser.error("programs are started and measured as POSIX has it")
    with tempfile.TemporaryDirectory(prefix="bench-") as path, Cloud().serve() as cloud:
        subjects = vault.subjects(Path(path), cloud)
        in_turn(subjects, max(arguments.runs, 1))
    over = print_table(subjects)
    return 1 if arguments.check and over else 0


def print_table(subjects: list[Subject]) -> list[str]:
    """Print it; returns the names of the rows that are over their limits."""
    by_name = {subject.name: subject for subject in subjects}
    bare = by_name[vault.BARE]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"strongroom {__version__}, {python}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores")
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
