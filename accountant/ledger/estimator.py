"""The backend of models that ``PNSGDClassifier`` or ``PNSGDRegressor`` saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np

from accountant.ledger.backends import Plan, Result, Row
from accountant.ledger.disclosing import DISCLOSE, check_disclosed, discloses
from accountant.ledger.settings import Settings
from accountant.numerics import InputError
from accountant.problem import PARTITION
from accountant.trainer import PNSGDClassifier, PNSGDRegressor, foreseen_steps

Model = PNSGDClassifier | PNSGDRegressor


class EstimatorBackend:
    """``unlearn`` of the estimator in the model file, and ``refit``; rows are what it calls its records."""

    name = "estimator"
    declared = False

    def __init__(self, settings: Settings) -> None:
        strange = set(settings.arguments) - {DISCLOSE}
        if strange:
            raise InputError(f"arguments must be left out for backend estimator, got {min(strange)}")
        discloses(settings)
        self._settings = settings
        self._path = settings.model_path
        self._loaded: Model | None = None

    def check(self) -> None:
        """A model whose noise comes again after a crash is none for a ledger."""
        if self._model().random_state is not None:
            raise InputError(
                f"model {self._path} was fitted with random_state, so a run that is repeated after a crash would draw the same "
                "noise: fit it without"
            )
        if self._model().classes_of_norm is not None:
            check_disclosed(self._settings, "classes_of_norm")

    def subjects(self) -> Mapping[str, Sequence[Row]]:
        """Every record is a subject of its own, called as the record."""
        ids = self._model().ids_
        named = {str(each): [each] for each in ids}
        if len(named) < len(ids):
            raise InputError("subjects must be given as a file, since the model has records with a number and the same as text")
        return named

    def plan(self, rows: Sequence[Row]) -> Plan:
        self.check()
        model = self._model()
        named = {"indices": list(rows), "by": "rows"} if model.assignment == PARTITION else {"ids": list(rows)}
        # Steps are those of the largest class of norm among the rows.
        norm_class = 1.0 if model.classes_of_norm is None else model.norm_class(**named)
        return Plan(**model.planned_request(len(rows), norm_class=norm_class)._asdict())

    def run(self, plan: Plan, rows: Sequence[Row]) -> Result:
        model = self._taken()
        if model.assignment == PARTITION:
            model.unlearn(list(rows), by="rows", max_steps=plan.steps)
        else:
            model.unlearn(ids=list(rows), max_steps=plan.steps)
        guarantee = model.guarantee_
        return Result(
            model=model,
            steps=model.steps_run_[-1],
            statement=guarantee.statement,
            assumptions=guarantee.assumptions,
            epsilon=model.epsilon,
            delta=model.delta_,
        )

    def foreseen(self, points: Sequence[int]) -> list[int]:
        return foreseen_steps(self._model(), points)

    def plan_refit(self, rows: Sequence[Row]) -> Plan:
        self.check()
        return Plan(**self._model().planned_refit(len(rows))._asdict())

    def refit(self, plan: Plan, rows: Sequence[Row]) -> Result:
        model = self._taken()
        if not rows:
            model.refit()
        elif model.assignment == PARTITION:
            model.refit(list(rows), by="rows")
        else:
            model.refit(ids=list(rows))
        return Result(
            model=model,
            steps=model.planned_refit().steps,
            statement="The model was learned again, from the start, on the rows that are left, with fresh noise: nothing of "
            "the removed rows is in it.",
        )

    def join(
        self, features: Any, labels: Sequence[Any], *, ids: Sequence[Row], columns: Sequence[str] | None, epochs: int
    ) -> Model:
        """``learn_more`` of the estimator; columns are put in the order of those that it was fitted with, if it has names."""
        model = self._taken()
        names = getattr(model, "feature_names_in_", None)
        with catch_warnings():
            if names is not None and columns is not None:
                missing = [str(name) for name in names if name not in columns]
                if missing or len(names) < len(columns):
                    more = missing or [name for name in columns if name not in set(names)]
                    raise InputError(f"features must be called as at fit, got none called {more[0]!r} on one of both sides")
                features = features[:, [columns.index(name) for name in names]]
                # The names are those of the model, in its order.
                simplefilter("ignore", UserWarning)
            return model.learn_more(features, _labels(model, labels), ids=list(ids), epochs=epochs)

    def save(self, model: Any, path: Path) -> None:
        model.save(path)

    def certify(self, model: Path, path: Path, key: Path | None) -> None:
        """By the estimator itself; InputError where it has no certificate."""
        certify = getattr(load(model), "certify", None)
        if certify is None:
            raise InputError("this version makes no certificate of an estimator's requests")
        certify(path, key=key)

    def _model(self) -> Model:
        if self._loaded is None:
            self._loaded = load(self._path)
        return self._loaded

    def _taken(self) -> Model:
        """To be changed: what comes next reads the file again."""
        model, self._loaded = self._model(), None
        return model


def _labels(model: Model, labels: Sequence[Any]) -> list[Any]:
    """Labels as the model has them, where they are text."""
    if not all(isinstance(label, str) for label in labels):
        return list(labels)
    classes = getattr(model, "classes_", None)
    if classes is None:
        try:
            return [float(label) for label in labels]
        except ValueError as error:
            raise InputError(f"labels must be numbers: {error}") from None
    known = {str(each): each for each in classes} | {
        str(int(each)): each for each in classes if isinstance(each, bool | np.bool_)
    }
    strange = next((label for label in labels if label not in known), None)
    if strange is not None:
        raise InputError(f"labels must be one of {', '.join(map(str, classes))}, got {strange!r}")
    return [known[label] for label in labels]


def load(path: Path) -> Model:
    """The estimator in a file, of whichever kind; InputError where there is none."""
    try:
        return PNSGDClassifier.load(path)
    except InputError as error:
        try:
            return PNSGDRegressor.load(path)
        except InputError as other:
            # Of the other kind, each says that it is.
            raise (error if "not a PNSGDRegressor" in str(other) else other) from None
