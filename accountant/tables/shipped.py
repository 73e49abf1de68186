"""The tables that ship with the package, each with where it comes from."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from accountant.numerics import choice
from accountant.tables.reading import Table

_FOLDER: Final = Path(__file__).parent / "data"
_PAPER: Final = "Chien, Wang, Chen & Li, Certified Machine Unlearning via Noisy SGD, NeurIPS 2024 (arXiv 2403.17105)"


@dataclass(frozen=True)
class BuiltIn:
    """A shipped table. claims: whether its rows claim guarantees, which ``verify`` can check."""

    name: str
    title: str
    provenance: str
    claims: bool = True

    @property
    def path(self) -> Path:
        return _FOLDER / f"{self.name.replace('-', '_')}.csv"

    def table(self) -> Table:
        return Table(self.path, name=self.name)

    def rows(self) -> tuple[dict[str, str], ...]:
        """The cells by column, as texts."""
        return _rows(self.name)


TABLES: Final[dict[str, BuiltIn]] = {
    table.name: table
    for table in (
        BuiltIn(
            "table1",
            "constants of the published experiments",
            f"{_PAPER}, Table 1: l2-regularised logistic regression, lambda = 1e-6 n, unit-norm features, delta = 1/n",
            claims=False,
        ),
        BuiltIn(
            "table2",
            "epochs of learning until convergence",
            f"{_PAPER}, Table 2 (10, 20, 50, 1000 for b = 32, 128, 512, n); the authors' public code uses 50, 100, 200, 1000, "
            "and 75 and 150 for b = 64 and 256",
            claims=False,
        ),
        BuiltIn(
            "table3",
            "noise of noisy SGD for one deletion",
            f"{_PAPER}, Table 3 is printed as an image: these are the values that the authors' public code computes "
            "(bisection, rounded up to 1e-8), in double precision; not-converged rows with its p = q = 2",
        ),
        BuiltIn(
            "langevin",
            "noise of Langevin unlearning for one deletion",
            "hard-coded in the public code of the same authors, for Langevin Unlearning (arXiv 2401.10371)",
        ),
        BuiltIn(
            "d2d",
            "noise of Descent-to-Delete for one deletion",
            "computed by running the same authors' public code for this baseline (Neel et al. 2021)",
        ),
        BuiltIn(
            "k_lists",
            "unlearning epochs of 100 deletions, one after the other",
            f"published with the public code of {_PAPER}; no accounting is named, so it is read as the authors' own: the "
            "published bound for the first request, its geometric form from the second on",
        ),
        BuiltIn(
            "noisy-finetuning",
            "certified noisy fine-tuning of networks",
            "249 configurations published with Koloskova, Allouah, Jha, Guerraoui & Koyejo, Certified Unlearning for Neural "
            "Networks, ICML 2025 (arXiv 2506.06985): step size, weight decay, clips, sigma and number of steps as their public "
            "code computes them, the epsilon that it logs, and delta",
        ),
        BuiltIn(
            "accuracies",
            "test accuracies on MNIST",
            f"mean and standard deviation over the stated trials, published with the public code of {_PAPER}; sigma is what "
            "the stored result was really run with",
            claims=False,
        ),
    )
}


def builtin(name: str) -> BuiltIn:
    """The shipped table of that name; InputError lists the names.

    >>> builtin("table1").rows()[0]["preset"]
    'mnist'
    """
    return TABLES[choice("table", name, TABLES)]


@lru_cache(maxsize=8)
def _rows(name: str) -> tuple[dict[str, str], ...]:
    with open(TABLES[name].path, encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def reported_accuracy(*, family: str, batch_size: int | str, sigma: float) -> tuple[float, float, float] | None:
    """Noise, mean and standard deviation of the reported MNIST accuracy after one deletion at (nearly) this noise, or None.

    ``family`` of the method: noisy SGD's runs are alike whatever bound their noise comes from. Within 5 % of sigma.

    >>> noise, mean, deviation = reported_accuracy(family="retrain", batch_size="full", sigma=0.0)
    >>> 0.9 < mean < 1
    True
    """
    methods = {"pnsgd": ("pnsgd", "lu"), "d2d": ("d2d",), "retrain": ("pnsgd",)}.get(family, ())
    wanted = "retrain_noiseless" if family == "retrain" else "baseline"
    found = [
        (float(row["sigma"]), float(row["accuracy_mean"]), float(row["accuracy_std"]))
        for row in TABLES["accuracies"].rows()
        if row["method"] in methods
        and row["experiment"].startswith(wanted)
        and row["deleted"] == "1"
        and (family == "retrain" or row["batch_size"] == str(batch_size))
    ]
    if family == "retrain":
        return found[0] if found else None
    near = min(found, key=lambda row: abs(row[0] - sigma), default=None)
    return near if near is not None and abs(near[0] - sigma) <= 0.05 * sigma else None


def published_lists(experiment: str, preset: str) -> dict[tuple[str, float], list[int]]:
    """Published epochs of each request by (batch size or "full", sigma); empty for other experiments and presets."""
    found: dict[tuple[str, float], list[int]] = {}
    for row in builtin("k_lists").rows():
        if row["experiment"] == experiment and row["dataset"].lower() == preset.lower():
            found.setdefault((row["batch_size"], float(row["sigma"])), []).append(int(row["epochs"]))
    return found
