"""The deletion service with many requests: how long adding, ``status`` and ``verify`` take, and what memory they need.

``verify`` and the report, which lists all requests as overdue ones, run in processes of their own, whose largest memory counts,
once for a tenth of the entries and once for all.
Run: OMP_NUM_THREADS=1 python benchmarks/ledger.py [--requests 1000000] [--db postgresql://host/name]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import numpy as np

from accountant.commands.program import app
from accountant.ledger import Ledger
from accountant.trainer import PNSGDClassifier

T = TypeVar("T")
#: Subjects of one call.
SOME = 20_000


def timed(what: str, call: Callable[[], T]) -> T:
    started = time.perf_counter()
    result = call()
    print(f"{what:>28}: {time.perf_counter() - started:8.2f} s", flush=True)
    return result


def peak() -> float:
    """The largest memory of this process so far, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def verify(database: str) -> None:
    with Ledger(database, read_only=True) as ledger:
        before = peak()
        started = time.perf_counter()
        found = ledger.verify()
        seconds = time.perf_counter() - started
        print(f"{'verify':>28}: {seconds:8.2f} s, {found.entries} entries, {found.findings}, {peak() - before:.1f} MB more")


def report(database: str) -> None:
    """The page of a year later: everything is overdue, so everything is listed. And its numbers alone, as of now."""
    with tempfile.TemporaryDirectory() as folder:
        before, started = peak(), time.perf_counter()
        page = f"{folder}/report.html"
        later = time.time_ns() // 1000 + 366 * 86_400_000_000
        with patch("accountant.ledger.database.Database.now", lambda self, connection: later):
            app(["ledger", "report", "--db", database, "-o", page, "--no-verify"], standalone_mode=False)
        seconds, size = time.perf_counter() - started, Path(page).stat().st_size / 1e6
        print(f"{'report':>28}: {seconds:8.2f} s, {size:.0f} MB, {peak() - before:.1f} MB more")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--db", help="an empty database on PostgreSQL; default a SQLite file")
    parser.add_argument("--verify", help=argparse.SUPPRESS)
    parser.add_argument("--report", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for run, database in ((verify, arguments.verify), (report, arguments.report)):
        if database is not None:
            run(database)
            return
    count = arguments.requests
    with tempfile.TemporaryDirectory() as folder:
        X = np.random.default_rng(0).uniform(-0.5, 0.5, (100, 2))
        model = Path(folder) / "model.npz"
        PNSGDClassifier(epsilon=1.0, delta=1e-3, batch_size=50, regularisation=0.1).fit(X, X[:, 0] > 0).save(model)
        database = arguments.db or f"{folder}/deletions.db"
        subjects = {f"s{number}": [number] for number in range(count)}
        with timed(f"init, {count} subjects", lambda: Ledger.create(database, model=model, subjects=subjects)) as ledger:
            for part, until in (("a tenth", count // 10), ("the rest", count)):
                names = [f"s{number}" for number in range(ledger.status().received, until)]
                for_each = range(0, len(names), SOME)
                timed(f"add {part}", lambda: [ledger.add(names[at : at + SOME]) for at in for_each])  # noqa: B023
                timed("status", ledger.status)
                for what in ("--verify", "--report"):
                    subprocess.run([sys.executable, __file__, what, database], check=True)


if __name__ == "__main__":
    main()
