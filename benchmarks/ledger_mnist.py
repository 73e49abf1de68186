"""The deletion service from end to end, on MNIST 3 against 8: 40 people ask to be deleted within eight simulated weeks.

The model is learned with defaults. A timer calls ``process`` once a week, in a process of its own, whose clock is the simulated
one. Two of them are killed (SIGKILL): one while it runs, one between ``saved`` and ``released``. Half-way records join; later
the model is learned again. In the end every certificate goes through the one-file checker, again in a process of its own, the
rows of who is gone are searched for in every file, and the report is written.
Run: OMP_NUM_THREADS=1 python benchmarks/ledger_mnist.py [--data FILE] [--folder FOLDER] [--rows 11264]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from accountant.certificates import check
from accountant.ledger import Ledger
from accountant.trainer import Digits, PNSGDClassifier, load_mnist

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist_3v8.npz"
START, HOUR = 1_800_000_000_000_000, 3_600_000_000
DAY = 24 * HOUR
WEEK = 7 * DAY
WEEKS, REQUESTS, JOINING = 8, 40, 100
#: Weeks in which something happens besides, which request is urgent, and what the workers that are killed are doing then.
JOINS, REFITS, URGENT = 4, 6, 12
KILLED = ("running", "saved")


def work(database: str, now: int) -> None:
    """What the timer calls."""
    with Ledger(database, clock=lambda: now) as ledger:
        ledger.process()


def called(database: str, now: int, kill: str | None) -> bool:
    """A worker in a process of its own; kill: the state of a request in which it is killed. Whether it was."""
    worker = subprocess.Popen([sys.executable, __file__, "--work", database, "--now", str(now)])
    if kill is not None:
        with Ledger(database, read_only=True) as ledger:
            while worker.poll() is None:
                if getattr(ledger.status(), kill):
                    os.kill(worker.pid, signal.SIGKILL)
                    break
                time.sleep(0.002)
    code = worker.wait()
    if code not in (0, -signal.SIGKILL):
        raise SystemExit(f"the worker ended with {code}")
    return code != 0


def timed(what: str, call: Callable[[], object]) -> None:
    started = time.perf_counter()
    call()
    print(f"{what}: {time.perf_counter() - started:.1f} s", flush=True)


def weeks(database: str, digits: Digits, learned: int) -> np.ndarray:
    """All that happens, week by week; who asked, (40,)."""
    draws = np.random.default_rng(11)
    who = draws.choice(learned, REQUESTS, replace=False)
    when = np.sort(draws.uniform(0, WEEKS * WEEK, REQUESTS)).astype(int)
    kills, asked = list(KILLED), 0
    for week in range(1, WEEKS + 3):
        now = START + week * WEEK
        while asked < REQUESTS and when[asked] < week * WEEK:
            with Ledger(database, clock=partial(int, START + when[asked])) as ledger:
                ledger.add([str(who[asked])], urgent=asked == URGENT)
            asked += 1
        with Ledger(database, clock=partial(int, now)) as ledger:
            if week == JOINS:
                timed(f"week {week}: {JOINING} records join", partial(join, ledger, digits, learned))
            if week == REFITS:
                timed(f"week {week}: learned again", ledger.refit)
        started = time.perf_counter()
        if called(database, now, kills[0] if kills else None):
            print(f"week {week}: killed while {kills.pop(0)}", flush=True)
            called(database, now + HOUR, None)
        print(f"week {week}: {time.perf_counter() - started:.1f} s", flush=True)
    return who


def join(ledger: Ledger, digits: Digits, learned: int) -> None:
    """Those that were left out when the model was learned."""
    new = range(learned, learned + JOINING)
    features, labels = digits.features[learned:], digits.labels[learned:]
    ledger.join(
        lambda path: PNSGDClassifier.load(path).learn_more(features, labels, ids=list(new)), {str(each): [each] for each in new}
    )


def verdict(path: Path, released: Mapping[str, float]) -> str:
    """What the checker says, which shares no code with the ledger, in a process of its own; of what the ledger has released."""
    proved = json.loads(path.read_text())["inputs"]
    if any(float(Fraction(proved[name])) > released[name] for name in ("epsilon", "delta")):
        return f"too little: {proved['epsilon']}, {proved['delta']}"
    done = subprocess.run([sys.executable, str(check.__file__), str(path)], capture_output=True, text=True, check=False)
    return (
        f"valid, ε = {proved['epsilon']}"
        if done.returncode == 0
        else f"{done.returncode}: {(done.stdout + done.stderr).strip()[:100]}"
    )


def table(database: str) -> int:
    """Print it; how many certificates are not valid."""
    bad = 0
    received: dict[int, int] = {}
    intents: dict[int, dict[str, Any]] = {}
    print(
        "\n| week | what | requests | waited, days | records | steps | ε | δ | certificate | checker |\n" + "| --- " * 10 + "|"
    )
    with Ledger(database, read_only=True) as ledger:
        folder = Path(ledger.settings.certificates)
        for entry in ledger.entries():
            body = entry.content
            if entry.kind == "received":
                received[entry.number] = entry.time
            elif entry.kind == "intent":
                intents[entry.number] = body
            elif entry.kind in ("released", "refit", "joined"):
                intent, digest = intents[body["intent"]], body.get("certificate")
                plan, spans = intent["plan"], intent["requests"]
                said = "-" if digest is None else verdict(folder / f"{digest}.json", body)
                bad += said != "-" and not said.startswith("valid")
                waited = [(entry.time - received[each]) / DAY for first, last in spans for each in range(first, last + 1)]
                numbers = ", ".join(f"{first} to {last}" for first, last in spans) or "-"
                days = f"{min(waited):.1f} to {max(waited):.1f}" if waited else "-"
                print(
                    f"| {(entry.time - START) / WEEK:.2f} | {entry.kind} | {numbers} | {days} | {plan['points']} "
                    f"| {plan['steps']} | {plan['epsilon']:g} | {plan['delta']:.3g} | {(digest or '-')[:8]} | {said} |",
                    flush=True,
                )
    print(f"{len(received)} requests")
    return bad


def found(folder: Path, rows: np.ndarray) -> int:
    """In how many files one of these rows stands."""
    searched = [np.ascontiguousarray(row).tobytes() for row in rows]
    return sum(
        any(each in content for each in searched) for content in (p.read_bytes() for p in folder.rglob("*") if p.is_file())
    )


def run(folder: Path, data: Path, rows: int) -> None:
    read = load_mnist(data)
    # They are sorted by digit.
    chosen = np.random.default_rng(3).permutation(read.labels.size)[:rows]
    digits = Digits(read.features[chosen], read.labels[chosen], read.test_features, read.test_labels)
    learned = digits.labels.size - JOINING
    model, database = folder / "model.npz", str(folder / "deletions.db")
    started = time.perf_counter()
    first = PNSGDClassifier().fit(digits.features[:learned], digits.labels[:learned])
    print(f"learned: {learned} records, {time.perf_counter() - started:.1f} s, accuracy {score(first, digits):.4f}", flush=True)
    first.save(model)
    # As the model has them: scaled, with a column of ones.
    stored = np.load(model)["features"]
    Ledger.create(database, model=model, deadline=14 * 86_400.0, floor=7 * 86_400.0, clock=lambda: START).close()
    who = weeks(database, digits, learned)
    bad = table(database)
    with Ledger(database, read_only=True) as ledger:
        timed("verify, with all certificates", lambda: print(ledger.verify(certificates=None)))
    stays = np.setdiff1d(np.arange(learned), who)[:1]
    gone, control = found(folder, stored[who]), found(folder, stored[stays])
    print(f"files with a row that is gone: {gone}; with one that stays: {control}")
    last = PNSGDClassifier.load(model)
    print(f"records: {len(last.ids_)}, accuracy {score(last, digits):.4f}, certificates that are not valid: {bad}")
    report = folder / "report.html"
    subprocess.run([sys.executable, "-m", "accountant", "ledger", "report", "--db", database, "-o", str(report)], check=False)
    print(f"report: {report.stat().st_size / 1000:.0f} kB")


def score(model: PNSGDClassifier, digits: Digits) -> float:
    return float(np.mean(model.predict(digits.test_features) == digits.test_labels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="mnist_3v8.npz, or a folder of MNIST's files")
    parser.add_argument("--folder", type=Path, help="where all is kept; default a folder that goes again")
    parser.add_argument("--rows", type=int, default=11_264)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--now", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work is not None:
        work(arguments.work, arguments.now)
    elif not arguments.data.exists():
        print(f"{arguments.data} is not there: nothing is measured")
    elif arguments.folder is not None:
        arguments.folder.mkdir(parents=True)
        run(arguments.folder, arguments.data, arguments.rows)
    else:
        with tempfile.TemporaryDirectory() as folder:
            run(Path(folder), arguments.data, arguments.rows)


if __name__ == "__main__":
    main()
