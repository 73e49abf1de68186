"""Rows named by labels: whoever is named goes, and nobody else, whatever a frame calls its rows."""

import pickle
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accountant import InputError
from accountant.trainer import PNSGDClassifier, PNSGDRegressor
from accountant.trainer.labels import RowLabels

N = 60
# Rows here are longer than 1 now and then.
pytestmark = pytest.mark.filterwarnings("ignore::accountant.trainer.cautions.RescaledRowsWarning")

RNG = np.random.default_rng(3)
X = RNG.standard_normal((N, 3)) / 4
Y = X[:, 0] > 0


class Index:
    """As much of a pandas Index as is looked at."""

    def __init__(self, labels: Any) -> None:
        self.labels = list(labels)

    def tolist(self) -> list[Any]:
        return list(self.labels)

    def get_indexer(self) -> None: ...

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self.labels, dtype=dtype)

    def __getitem__(self, places: Any) -> "Index":
        return Index(self.labels[places] if isinstance(places, slice) else [self.labels[place] for place in places])


class Series(Index):
    """Labels as values, in an index of its own."""

    ndim = 1

    @property
    def index(self) -> Index:
        return Index(range(1000, 1000 + len(self.labels)))


class Frame:
    def __init__(self, rows: Any, labels: Any) -> None:
        self.rows, self.index, self.shape, self.ndim = np.asarray(rows), Index(labels), np.shape(rows), 2

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self.rows, dtype=dtype)

    def __len__(self) -> int:
        return len(self.rows)


def fitted(labels: Any, **changes: Any) -> PNSGDClassifier:
    settings = {"batch_size": 20, "learn_epochs": 3, "regularisation": 0.1, "epsilon": 50.0}
    rows = X if labels is None else Frame(X, labels)
    return PNSGDClassifier(**(settings | changes)).fit(rows, Y)


def gone(model: Any) -> list[int]:
    """The rows that are no longer trained on."""
    draws = model._run.draws
    if draws is not None:
        return sorted(set(range(draws.came)) - set(draws.numbers.tolist()))
    return np.flatnonzero(~model._run.features.any(axis=1)).tolist()


PARTITION = {"assignment": "partition", "adjacency": "zero-out"}


FROM_100 = range(100, 100 + N)
SHUFFLED = RNG.permutation(N).tolist()
NAMES = [f"person {k}" for k in range(N)]
DAYS = [date.fromordinal(700000 + k) for k in range(N)]
PAIRS = [("a" if k % 2 else "b", k // 2) for k in range(N)]


@pytest.mark.parametrize("labels", [FROM_100, SHUFFLED, NAMES, DAYS, PAIRS, range(-5, N - 5), [k / 2 for k in range(N)]])
def test_an_index_names_the_rows_with_these_labels(labels: Any) -> None:
    """X.index[100:101] of a frame that begins at 100 once removed row 100, another person's."""
    index = Frame(X, labels).index
    for asked, rows in ((index[30:31], [30]), (Series(index[[7, 3]].tolist()), [3, 7]), (index[[59]], [59])):
        model = fitted(labels).unlearn(asked)
        assert gone(model) == rows
        assert sorted(model.requests_[0]) == rows
        with pytest.raises(InputError, match="removed before"):
            model.unlearn(asked)
    model = fitted(labels)
    for by in ("labels", None):
        if by or not isinstance(labels[0], int):
            model.unlearn([labels[12 if by else 13]], by=by)
    assert gone(model) in ([12], [12, 13])
    assert gone(fitted(labels).unlearn([4, 5], by="rows")) == [4, 5]


def test_plain_integers_for_an_index_of_integers_are_refused() -> None:
    for labels in (FROM_100, SHUFFLED, [*FROM_100[:-1], "last"]):
        model = fitted(labels)
        for asked in ([3], [labels[3]], np.array([3, 4]), 3, np.int64(3), [N + 200]):
            with pytest.raises(InputError, match="may be labels or row numbers, because X at fit had an index of its own"):
                model.unlearn(asked)
        assert model.requests_ == ()
        assert gone(model.unlearn(np.array([3, 4]), by="rows").unlearn([labels[7]], by="labels")) == [3, 4, 7]
    # Of other labels plain integers are row numbers, as they always were.
    for labels in (NAMES, DAYS, PAIRS):
        assert gone(fitted(labels).unlearn([3])) == [3]
    # Where label and row number are the same there is nothing to confuse.
    swapped = [1, 0, *range(2, N)]
    model = fitted(swapped).unlearn([5])
    assert gone(model) == [5]
    with pytest.raises(InputError, match="may be labels or row numbers"):
        model.unlearn([6, 1])
    assert gone(model.unlearn(Index([1]))) == [0, 5]


@pytest.mark.parametrize("labels", [None, range(N)])
def test_without_an_index_of_its_own_integers_are_row_numbers(labels: Any) -> None:
    for by in (None, "rows"):
        assert gone(fitted(labels).unlearn([30, 2], by=by)) == [2, 30]
    model = fitted(labels)
    if labels is None:
        for asked in (Index([30]), Series([30])):
            with pytest.raises(InputError, match=r"are labels, but the X given to fit had none .*: give row numbers"):
                model.unlearn(asked)
        with pytest.raises(InputError, match="by must be rows: the X given to fit had none"):
            model.unlearn([30], by="labels")
        assert gone(model.unlearn(Index([30]), by="rows")) == [30]
    else:
        assert gone(model.unlearn(Index([30])).unlearn(Series([31])).unlearn([32], by="labels")) == [30, 31, 32]
    with pytest.raises(InputError, match="indices must be row numbers"):
        model.unlearn(["person 3"])


def test_labels_of_several_rows_or_of_none_are_refused() -> None:
    labels = [*FROM_100[:-2], 100, "x"]
    model = fitted(labels, **PARTITION)
    with pytest.raises(InputError, match=r"labels of one row each, but 100 is that of rows 0, 58: name these with by='rows'"):
        model.unlearn(Index([101, 100]))
    for asked in (Index([5]), Index([N + 100]), Index(["y"]), ["y"], Index([None]), Index([float("nan")])):
        with pytest.raises(InputError, match="whose rows have not been removed before, got"):
            model.unlearn(asked)
    with pytest.raises(InputError, match="each once, got 101, 101"):
        model.unlearn(Index([101, 101]))
    with pytest.raises(InputError, match="name one or more rows"):
        model.unlearn(Index([]))
    with pytest.raises(InputError, match="indices must be labels of X's index at fit, got"):
        model.unlearn([[1], [2]], by="labels")
    with pytest.raises(InputError, match="whole data frame: give its index"):
        model.unlearn(Frame(X[:2], [100, 101]))
    with pytest.raises(InputError, match="by must be one of rows, labels"):
        model.unlearn([1], by="label")
    # A mask names nobody: True is no label.
    with pytest.raises(InputError, match="got"):
        model.unlearn(np.arange(N) == 3)
    assert model.requests_ == ()
    assert gone(model.unlearn(Index([101, "x"])).unlearn([0, 58], by="rows")) == [0, 1, 58, 59]


def test_rows_that_draw_by_their_labels_have_different_ones() -> None:
    for labels, twice in (
        ([*FROM_100[:-1], 100], "100"),
        ([*NAMES[:-1], "person 7"], "'person 7'"),
        ([*DAYS[:-1], DAYS[0]], "1917"),
    ):
        with pytest.raises(InputError, match=f"index of different labels, or ids be given, got .*{twice}.* more than once"):
            fitted(labels)
        settings = {"batch_size": 20, "learn_epochs": 3, "regularisation": 0.1, "epsilon": 50.0}
        model = PNSGDClassifier(**settings).fit(Frame(X, labels), Y, ids=range(N))
        assert gone(model.unlearn(ids=[7])) == [7]
    for labels, names in ((FROM_100, tuple(FROM_100)), (NAMES, tuple(NAMES)), (DAYS, tuple(range(N))), (None, tuple(range(N)))):
        assert fitted(labels)._run.draws.identifiers == names


@pytest.mark.parametrize("settings", [{}, PARTITION])
def test_labels_stay_with_their_rows_in_copies_and_files(settings: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "model.npz"
    for labels, lost in ((FROM_100, False), (NAMES, False), (None, False), (range(N), False), (DAYS, True), (PAIRS, True)):
        model = fitted(labels, **settings)
        index = Index(range(N)) if labels is None else Frame(X, labels).index
        first: dict[str, Any] = {"by": "rows"} if labels is None else {}
        model.unlearn(index[[9]], **first)
        model.save(file)
        loaded = PNSGDClassifier.load(file)
        copied = pickle.loads(pickle.dumps(model))
        for each, known in ((copied, labels is not None), (loaded, labels is not None and not lost)):
            if known:
                assert gone(each.unlearn(index[[4]])) == [4, 9]
                if each._row_labels.kind == "own":
                    with pytest.raises(InputError, match="removed before"):
                        each.unlearn(index[[9]])
                continue
            words = "could not keep X's labels" if lost else "had none"
            with pytest.raises(InputError, match=words):
                each.unlearn(index[[4]])
            with pytest.raises(InputError, match=words):
                each.unlearn([4], by="labels")
            assert gone(each.unlearn([4], by="rows")) == [4, 9]
        # The label of a removed row is not in the file, nor in a pickle.
        assert b"person 9" not in pickle.dumps(model)
        if labels is FROM_100 or labels is NAMES:
            with np.load(file) as archive:
                assert labels[9] not in (archive["row_labels"] if labels is FROM_100 else [])
                assert b'"person 9"' not in archive["header"].tobytes()
        file.unlink()


def test_replacement_rows_and_new_fits_forget_labels() -> None:
    model = fitted(FROM_100, adjacency="replace", epsilon=700.0)
    model.unlearn(Index([105]), Frame(X[:1], [999]), Y[:1])
    for asked in ([105], [999]):
        with pytest.raises(InputError, match="removed before"):
            model.unlearn(Index(asked))
    model.fit(X, Y)
    assert gone(model.unlearn([5])) == [5]


def test_only_frames_have_labels() -> None:
    assert RowLabels.of(X.tolist(), N).kind == "none"
    assert RowLabels.of(X, N).kind == "none"
    assert RowLabels.of(Frame(X, range(N)), N).kind == "numbers"
    assert RowLabels.of(Frame(X, [*range(N - 1), True]), N).kind == "own"
    assert RowLabels.of(Frame(X, [*range(N - 1), 2**70]), N).values.dtype == object
    model = PNSGDRegressor(batch_size=20, epsilon=50.0, learn_epochs=3).fit(Frame(X, FROM_100), X[:, 1])
    assert gone(model.unlearn(Index([130]))) == [30]


def test_pandas_itself() -> None:
    """Where it is installed: the looks are its own."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, index=range(100, 100 + N), columns=["a", "b", "c"])
    settings: dict[str, Any] = {"batch_size": 20, "learn_epochs": 3, "epsilon": 50.0, "regularisation": 0.1, "sigma": 0.1}
    model = PNSGDClassifier(**settings).fit(frame, pd.Series(Y, index=frame.index))
    model.unlearn(frame.index[10:11]).unlearn(frame.sample(2, random_state=0).index)
    rows = frame.index.get_indexer(frame.sample(2, random_state=0).index).tolist()
    assert gone(model) == sorted([10, *rows])
    kinds = [
        pd.Index([f"p{k}" for k in range(N)]),
        pd.date_range("2020-01-01", periods=N),
        pd.date_range("2020-01-01", periods=N, tz="UTC"),
        pd.MultiIndex.from_product([["a", "b"], range(N // 2)]),
        pd.Index(np.arange(N)[::-1]),
        pd.Index(np.arange(N) + 7.0),
        pd.CategoricalIndex([f"p{k}" for k in range(N)]),
        pd.Index(np.arange(N) + 9, dtype="Int64"),
        pd.RangeIndex(0, 2 * N, 2),
    ]
    for index in kinds:
        named = frame.set_axis(index)
        for asked in (named.index[30:31], named.index[[30]], named.iloc[[30]].index, named.index[30:31].to_series()):
            assert gone(PNSGDClassifier(**settings).fit(named, Y).unlearn(asked)) == [30], index
    model = PNSGDClassifier(**settings).fit(frame.reset_index(drop=True), Y)
    assert gone(model.unlearn([3]).unlearn(pd.Index([5]))) == [3, 5]
    with pytest.raises(InputError, match="whole data frame"):
        model.unlearn(frame.iloc[:2])
