"""Many at once, and many in all: nothing is recorded twice or out of order, and memory does not grow with the ledger."""

import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from accountant.ledger import BusyError, Ledger
from accountant.trainer import PNSGDClassifier

MANY = 10_000


def adds(place: str, first: int) -> None:
    """Every fourth subject, one by one and in tens by turns; each is asked for twice."""
    with Ledger(place) as ledger:
        names = [f"s{number}" for number in range(first, MANY, 4)]
        for at in range(0, len(names), 20):
            ledger.add(names[at : at + 10])
            for name in names[at + 10 : at + 20]:
                ledger.add([name])
            ledger.add(names[at : at + 20])


def works(place: str) -> None:
    with Ledger(place) as ledger:
        while ledger.status().released < MANY:
            try:
                ledger.process(everything=True)
            except BusyError:
                time.sleep(0.1)


@pytest.mark.slow
def test_ten_thousand_requests_of_four_processes_while_a_fifth_processes(tmp_path: Path, url: str | None) -> None:
    X = np.random.default_rng(4).uniform(-0.5, 0.5, (MANY + 2000, 2))
    names = [f"s{number}" for number in range(len(X))]
    # So many batches and so long learning that hundreds of runs cost less than another one.
    settings = {"epsilon": 1.0, "delta": 1e-3, "batch_size": 400, "regularisation": 0.2, "learn_epochs": 50, "sigma": 0.05}
    PNSGDClassifier(**settings).fit(X, X[:, 0] > 0, ids=names).save(tmp_path / "model.npz")
    place = url or str(tmp_path / "deletions.db")
    Ledger.create(place, model=tmp_path / "model.npz").close()
    context = multiprocessing.get_context("fork")
    everybody = [context.Process(target=adds, args=(place, first)) for first in range(4)]
    everybody.append(context.Process(target=works, args=(place,)))
    for each in everybody:
        each.start()
    for each in everybody:
        each.join()
        assert each.exitcode == 0
    with Ledger(place) as ledger:
        found = ledger.verify()
        assert found.findings == ()
        assert found.requests == MANY
        entries = list(ledger.entries())
        assert [entry.number for entry in entries] == list(range(len(entries)))
        assert sum(entry.kind == "duplicate" for entry in entries) == MANY
        assert ledger.status().released == MANY
        model = PNSGDClassifier.load(ledger.settings.model)
        assert model.ids_ == tuple(names[MANY:])
        assert len(model.requests_) == sum(entry.kind == "released" for entry in entries) > 3


@pytest.mark.slow
def test_memory_of_verify_and_of_the_report_does_not_grow_with_the_ledger() -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "ledger.py"
    line = [sys.executable, str(script), "--requests", "100000"]
    output = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    for what in ("verify", "report"):
        tenth, whole = (float(text.split(", ")[-1].split(" MB")[0]) for text in output.splitlines() if f" {what}: " in text)
        # Ten times as many entries: a few buffers at most.
        assert whole < tenth + 20, what
    assert output.count("()") == 2
