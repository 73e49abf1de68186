"""Estimators as used, fit and unlearn against fit without the rows: never above the claim, and broken ones are found."""

from functools import partial
from typing import Any

import numpy as np
import pytest

from accountant import InputError
from accountant.trainer import PNSGDClassifier, PNSGDRegressor, audit_estimator
from accountant.trainer import choosing as choosing
from accountant.trainer.faults import Faulty

#: The last row pulls along an axis of its own; what all others do is seen along the other one.
ROWS = np.array([[0.0, 1.0]] * 11 + [[1.0, 0.0]])
#: Targets out of reach, so that every gradient is as long as clipping lets it be: then the claim is met but for little.
FAR = np.full(12, 9.0)
#: Two rows along the axis of the last one are of the other class.
CROSSED = np.array([[0.0, 1.0]] * 9 + [[1.0, 0.0]] * 3)
CLASSES = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 1])
#: Short, and calibrated for one row and one epoch.
SHORT: dict[str, Any] = {
    "epsilon": 0.5, "delta": 0.1, "batch_size": 6, "learn_epochs": 12, "unlearn_epochs": 1, "regularisation": 1.0,
    "fit_intercept": False,
}  # fmt: skip
LEAVES: dict[str, Any] = {"largest_n": 14}
ZEROED: dict[str, Any] = {"adjacency": "zero-out", "assignment": "partition"}
#: Settings that are audited, by name.
AUDITED: dict[str, tuple[Any, Any, Any]] = {
    "regressor, remove": (PNSGDRegressor(clip=1.0, **SHORT, **LEAVES), ROWS, FAR),
    "regressor, zero-out": (PNSGDRegressor(clip=1.0, **SHORT, **ZEROED), ROWS, FAR),
    "regressor, full batch": (PNSGDRegressor(clip=1.0, **{**SHORT, **ZEROED, "batch_size": None}), ROWS, FAR),
    "classifier, remove": (PNSGDClassifier(loss="smoothed-hinge", **SHORT, **LEAVES), CROSSED, CLASSES),
    "classifier, zero-out": (PNSGDClassifier(loss="smoothed-hinge", **SHORT, **ZEROED), CROSSED, CLASSES),
}


@pytest.mark.parametrize("name", AUDITED)
def test_no_estimator_exceeds_its_claim(name: str) -> None:
    model, X, y = AUDITED[name]
    found = audit_estimator(model, X, y, [11], trials=60, seed=0)
    assert found.epsilon == pytest.approx(0.5, abs=1e-6)
    assert found.steps > 0
    assert not found.violated


@pytest.mark.campaign
@pytest.mark.parametrize("name", AUDITED)
def test_no_estimator_exceeds_its_claim_in_fifty_seeds(name: str) -> None:
    model, X, y = AUDITED[name]
    assert not [
        seed for seed in range(50) if audit_estimator(model, X, y, [11], trials=150, confidence=0.999, seed=seed).violated
    ]


@pytest.mark.campaign
def test_several_requests_do_not_exceed_the_claim_either() -> None:
    model = PNSGDRegressor(clip=1.0, **{**SHORT, **LEAVES, "epsilon": 1.0})
    for seed in range(10):
        found = audit_estimator(model, ROWS, FAR, [11, [3, 4]], trials=200, seed=seed)
        assert found.epsilon <= 1.0
        assert not found.violated


def broken(monkeypatch: pytest.MonkeyPatch, name: str, fault: str, trials: int) -> bool:
    monkeypatch.setattr(choosing, "Trainer", partial(Faulty, fault=fault))
    model, X, y = AUDITED[name]
    return audit_estimator(model, X, y, [11], trials=trials, seed=0).violated


@pytest.mark.parametrize("fault", ["one-step", "silent-step", "wrong-batch", "divisor"])
def test_a_broken_step_is_found_in_the_released_models(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Several batches show what they are mistaken for and divided by, one shows single steps best.
    name, trials = ("regressor, zero-out", 90) if fault in ("wrong-batch", "divisor") else ("regressor, full batch", 300)
    assert broken(monkeypatch, name, fault, trials)


@pytest.mark.campaign
@pytest.mark.parametrize("fault", ["one-step", "silent-step", "wrong-batch", "divisor"])
@pytest.mark.parametrize("name", [name for name in AUDITED if "full" not in name])
def test_a_broken_step_is_found_in_every_estimator(name: str, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken(monkeypatch, name, fault, 600)


def test_the_same_seed_gives_the_same_audit_whoever_fits() -> None:
    model, X, y = AUDITED["regressor, full batch"]
    one = audit_estimator(model, X, y, [11], trials=40, seed=4)
    assert one == audit_estimator(model, X, y, [11], trials=40, seed=4, jobs=2)
    assert one.to_dict()["violated"] is False


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"estimator": object()}, "estimator must be a PNSGD"),
        ({"removed": []}, "removed must have at least one request"),
        ({"removed": [12]}, "indices"),
        ({"trials": 29}, "trials"),
        ({"jobs": 0}, "jobs"),
        ({"confidence": 0.0}, "confidence"),
        ({"estimator": PNSGDRegressor(clip=1.0, **{**SHORT, **ZEROED, "fit_intercept": True})}, "fit_intercept must be False"),
        # Without the row there would be one batch less.
        ({"estimator": PNSGDRegressor(clip=1.0, **{**SHORT, **LEAVES, "batch_size": 11})}, "steps_per_epoch must be the same"),
    ],
)
def test_what_cannot_be_audited_is_refused(changes: dict[str, Any], words: str) -> None:
    arguments = {"estimator": AUDITED["regressor, full batch"][0], "removed": [11], "trials": 30, "seed": 0, **changes}
    with pytest.raises(InputError, match=words):
        audit_estimator(arguments.pop("estimator"), ROWS, FAR, arguments.pop("removed"), **arguments)
