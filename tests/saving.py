"""Two processes on one saved model, and processes that are killed: python tests/saving.py interleave|kill COUNT SEED FOLDER.

Prints one line of JSON: what was asked for, done, refused, and what went wrong, which must be nothing.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from accountant import InputError
from accountant.trainer import PNSGDClassifier

N = 60


def new_model() -> PNSGDClassifier:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, 3)) / 3
    model = PNSGDClassifier(batch_size=20, learn_epochs=3, regularisation=0.1, sigma=0.02, epsilon=5.0, classes=[False, True])
    return model.fit(X, X[:, 0] > 0)


class Log:
    """Lines that are on the disk once they are written."""

    def __init__(self, path: Path) -> None:
        self.handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, kind: str, value: object) -> None:
        os.write(self.handle, f"{kind} {value}\n".encode())
        os.fsync(self.handle)


def read(path: Path) -> list[tuple[str, str]]:
    if not path.exists():
        return []
    # A line that a kill cut off was not reported.
    lines = path.read_text().split("\n")[:-1]
    return [(kind, value) for kind, value in (line.split(" ", 1) for line in lines)]


def work(file: Path, log: Log, rng: random.Random, requests: int, pause: float) -> None:
    """So many requests, each loaded, answered, saved and reported; after a refusal again."""
    done = 0
    while done < requests:
        model = PNSGDClassifier.load(file)
        time.sleep(rng.random() * pause)
        gone = {row for request in model.requests_ for row in request}
        row = rng.choice(sorted(set(range(N)) - gone))
        log.write("noise", model._run.generators[0].bit_generator.state["state"]["state"])
        model.unlearn([row], max_steps=10**6)
        time.sleep(rng.random() * pause)
        try:
            model.save(file)
        except InputError as error:
            if "somebody else has saved since" not in str(error):
                raise
            log.write("refused", row)
            continue
        log.write("done", row)
        done += 1


def child(target: Any, *arguments: Any) -> int:
    """A forked process that ends with 0 if nothing went wrong; its number."""
    pid = os.fork()
    if pid:
        return pid
    try:
        target(*arguments)
        os._exit(0)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def check(file: Path, logs: list[Path], wrong: list[str]) -> list[tuple[str, str]]:
    """Every request that was reported is in the file, and no noise came twice."""
    lines = [line for log in logs for line in read(log)]
    try:
        model = PNSGDClassifier.load(file)
    except InputError as error:
        wrong.append(f"unreadable: {error}")
        return lines
    rows = [row for request in model.requests_ for row in request]
    if len(set(rows)) < len(rows) or set(rows) & set(model._run.draws.numbers.tolist()):
        wrong.append("a row is recorded that is still trained on, or twice")
    lost = {int(value) for kind, value in lines if kind == "done"} - set(rows)
    if lost:
        wrong.append(f"lost: {sorted(lost)}")
    twice = [value for value, count in Counter(value for kind, value in lines if kind == "noise").items() if count > 1]
    if twice:
        wrong.append(f"noise drawn {len(twice)} times twice")
    return lines


def interleave(count: int, seed: int, folder: Path) -> dict[str, Any]:
    """So many times: two processes, two requests each, with random pauses."""
    model, rng, wrong, total = new_model(), random.Random(seed), [], Counter()
    for number in range(count):
        file, logs = folder / "model.npz", [folder / "a.log", folder / "b.log"]
        for path in (file, *logs):
            path.unlink(missing_ok=True)
        model.save(file)
        pause = rng.choice((0.0, 0.001, 0.005, 0.02))
        pids = [child(work, file, Log(log), random.Random(rng.random()), 2, pause) for log in logs]
        for pid in pids:
            if os.waitpid(pid, 0)[1]:
                wrong.append(f"a process failed in interleaving {number}")
        lines = check(file, logs, wrong)
        total.update(kind for kind, _ in lines)
        left = sorted(path.name for path in folder.iterdir())
        if left != ["a.log", "b.log", "model.npz"]:
            wrong.append(f"left over: {left}")
        if sum(kind == "done" for kind, _ in lines) != 4:
            wrong.append(f"not all done in interleaving {number}")
    return {"count": count, **total, "wrong": wrong}


def _answered(log: Path) -> int:
    return sum(kind == "done" for kind, _ in read(log))


def kill(count: int, seed: int, folder: Path) -> dict[str, Any]:
    """So many times: a process that answers requests until it is killed; the next one goes on from the file."""
    rng, wrong, total = random.Random(seed), [], Counter()
    file, log = folder / "model.npz", folder / "a.log"
    log.unlink(missing_ok=True)
    new_model().save(file)
    for number in range(count):
        answered = _answered(log)
        pid = child(work, file, Log(log), random.Random(rng.random()), N, 0.002)
        # A busy machine may need long for a first request: every fourth kill waits for one, for a minute at most.
        latest = time.monotonic() + 60
        while number % 4 == 3 and _answered(log) == answered and time.monotonic() < latest:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.2)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        lines = check(file, [log], wrong)
        left = [path.name for path in folder.iterdir() if path.name.endswith(".part")]
        total["parts"] += len(left)
        if len(left) > 1:
            wrong.append(f"left over: {left}")
        if len(PNSGDClassifier.load(file).requests_) > N // 2:
            total.update(kind for kind, _ in lines)
            for path in (file, log):
                path.unlink()
            new_model().save(file)
    total.update(kind for kind, _ in read(log))
    return {"count": count, **total, "wrong": wrong}


if __name__ == "__main__":
    what, number, start, where = sys.argv[1:]
    print(json.dumps({"interleave": interleave, "kill": kill}[what](int(number), int(start), Path(where))))
