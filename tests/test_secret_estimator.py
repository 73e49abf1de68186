"""Estimators whose rows draw their batches by themselves: requests by identifier, rows that join, files, what stays secret."""

import json
import logging
import math
import os
import pickle
import stat
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from accountant import PNSGD, InputError, UnlearningAccountant, UnlearningStream, UnreachableError
from accountant.problem import load_limit
from accountant.trainer import Logistic, PNSGDClassifier, PNSGDRegressor
from accountant.trainer.saved import reading

# Rows here are longer than 1 now and then.
pytestmark = pytest.mark.filterwarnings("ignore::accountant.trainer.cautions.RescaledRowsWarning")

RNG = np.random.default_rng(3)
N = 120
X = RNG.standard_normal((N, 4)) / 3
Y = np.where(X[:, 0] > 0, "yes", "no")
IDS = [f"person {k}" for k in range(N)]


def settings(**changes: Any) -> dict[str, Any]:
    return {"batch_size": 20, "learn_epochs": 10, "unlearn_epochs": 1, "regularisation": 0.05} | changes


def fitted(ids: Any = IDS, **changes: Any) -> Any:
    return PNSGDClassifier(**settings(**changes)).fit(X, Y, ids=ids)


def left(model: Any) -> list[Any]:
    return list(model._run.draws.identifiers)


# Requests


def test_secret_draws_and_true_removal_are_the_default() -> None:
    model = PNSGDClassifier()
    assert (model.assignment, model.adjacency, model.largest_n) == ("secret", "remove", None)
    model = fitted()
    assert model._run.draws.key_is_secret
    algorithm = model._trainer.algorithm
    assert (algorithm.assignment, algorithm.steps_per_epoch, algorithm.largest_n) == ("secret", 6, 132)
    model.unlearn(ids=["person 7", "person 9"])
    assert model._run.features.shape == (N - 2, 5)
    assert left(model) == [name for name in IDS if name not in ("person 7", "person 9")]
    # J and the divisor stay.
    assert model._trainer.algorithm.steps_per_epoch == 6
    assert model.requests_ == ((7, 9),)
    assert model.unlearn([3], by="rows").requests_ == ((7, 9), (3,))
    assert fitted(None).unlearn(ids=[7])._run.features.shape == (N - 1, 5)


def test_less_noise_than_a_partition_needs() -> None:
    partition = PNSGDClassifier(**settings(assignment="partition", adjacency="zero-out")).fit(X, Y)
    assert fitted().sigma_ < partition.sigma_
    # One batch: nothing to keep secret, the same noise but for the share that rounding has.
    one, same = (PNSGDClassifier(**settings(batch_size=None, **changes)).fit(X, Y) for changes in (
        {}, {"assignment": "partition", "adjacency": "zero-out"},
    ))  # fmt: skip
    assert one.sigma_ == pytest.approx(same.sigma_, rel=1e-6)


def test_noise_steps_and_guarantee_are_the_accountants() -> None:
    for changes in ({}, {"adjacency": "replace"}, {"batches": "worst"}, {"largest_n": N}):
        model = fitted(**changes)
        loss = Logistic(regularisation=0.05, feature_bound=math.sqrt(2))
        words: dict[str, Any] = {name: value for name, value in changes.items() if name == "largest_n"}
        algorithm = PNSGD(
            loss.problem(N, adjacency=model.adjacency), 20, learn_epochs=10, assignment="secret", rounding="float64",
            dimension=5, redraw=model._trainer.algorithm.redraw, **words,
        )  # fmt: skip
        accountant = UnlearningAccountant(algorithm, batches=model.batches)
        assert 1 <= model.sigma_ / accountant.sigma(epsilon=1.0, epochs=1) < 1 + 1e-8
        # The noise is enough for what it was made for, rounding included.
        assert model.planned_steps() == accountant.steps(sigma=model.sigma_, epsilon=1.0) <= 6
        stream = UnlearningStream(accountant, sigma=model.sigma_, epsilon=1.0)
        steps = []
        for request in ([7], [8, 9], [10]):
            steps.append(stream.request(len(request)))
            model.unlearn(request, max_steps=10**6)
        assert model.steps_run_ == tuple(steps)
        assert model.guarantee_.epsilon(model.delta_) <= 1.0
        assert set(accountant.assumptions()) <= set(model.guarantee_.assumptions)


def test_stand_ins_come_with_identifiers_of_their_own() -> None:
    model = fitted(adjacency="replace")
    model.unlearn(ids=["person 7", "person 9"], X=X[:2] / 2, y=Y[:2], new_ids=["new", 9])
    assert left(model)[-2:] == ["new", 9]
    assert model._run.labels.size == N
    assert model.unlearn(ids=["person 11"], X=X[:1] / 2, y=Y[:1])._run.draws.identifiers[-1] == N + 2
    # Rows of zeros have no gradient: none at all is as good.
    assert model.unlearn(ids=["person 12"])._run.labels.size == N - 1
    assert model._row_labels.n == model._run.draws.came == N + 3
    assert model.unlearn([N + 2], by="rows").requests_[-1] == (N + 2,)
    assert "replacement rows do not depend on the deleted ones" in model.guarantee_.assumptions
    with pytest.raises(InputError, match="no record that is there, got 'new'"):
        model.unlearn(ids=["person 20"], X=X[:1], y=Y[:1], new_ids=["new"])
    with pytest.raises(InputError, match="new_ids must be left out"):
        model.unlearn(ids=["person 20"], new_ids=["x"])
    with pytest.raises(InputError, match="adjacency remove, which replaces nothing"):
        fitted().unlearn(ids=["person 1"], X=X[:1], y=Y[:1])


# Rows that join


def test_rows_join_and_leave_again() -> None:
    model = fitted()
    model.unlearn(ids=["person 7"])
    held = model.guarantee_.epsilon(model.delta_)
    steps = model._run.steps
    model.learn_more(X[:3] / 2, Y[:3], ids=["a", "b", "person 7"], epochs=2)
    assert left(model)[-3:] == ["a", "b", "person 7"]
    # Used before: another draw.
    assert model._run.draws.counters[-3:].tolist() == [0, 0, 1]
    assert model._run.steps == steps + 12
    assert model.requests_ == ((7,),)
    assert model.steps_run_ == (steps - 60,)
    assert model.guarantee_.epsilon(model.delta_) == held
    model.unlearn(ids=["b"]).unlearn([N], by="rows")
    assert model.requests_ == ((7,), (N + 1,), (N,))
    assert left(model)[-1] == "person 7"
    assert model.guarantee_.epsilon(model.delta_) <= 1.0
    words = " ".join([model.guarantee_.statement, *model.guarantee_.assumptions])
    for part in ("the same history without the deleted records", "newcomers included", "rows that joined after a deletion"):
        assert part in words
    assert model.learn_more(X[:1] / 3, Y[:1], epochs=0)._run.draws.identifiers[-1] == N + 3


def test_a_row_that_joined_is_no_row_of_its_class_that_retraining_would_have_known() -> None:
    """Without the only "maybe" of the fit there would have been two classes, and nobody of a third could have joined."""
    labels = np.where(np.arange(N) == 5, "maybe", Y)
    several = settings(largest_n=N + 20, sigma=5.0)
    joined = PNSGDClassifier(**several).fit(X, labels).learn_more(X[:1], ["maybe"], ids=["q"], epochs=0)
    with pytest.raises(InputError, match="a row of every class that was there at fit, got the last of 'maybe'"):
        joined.unlearn([5])
    # Who joined may leave, and where the classes are public everybody may.
    assert joined.unlearn(ids=["q"]).requests_ == ((N,),)
    public = PNSGDClassifier(classes=["maybe", "no", "yes"], **several).fit(X, labels)
    assert public.learn_more(X[:1], ["maybe"], ids=["q"], epochs=0).unlearn([5]).requests_ == ((5,),)
    # A stand-in is there in retraining from the start.
    replaced = PNSGDClassifier(adjacency="replace", **several).fit(X, labels)
    assert replaced.unlearn([5], X[:1], ["maybe"]).requests_ == ((5,),)


def test_a_guarantee_says_with_which_settings_it_compares() -> None:
    """batch_size, noise and all that is auto follow from n at fit, and stay, also in what is compared with."""
    lines = PNSGDClassifier(requests=5, epsilon=5.0).fit(X, Y).unlearn([1]).unlearn([2]).guarantee_.assumptions
    assert any(
        line.startswith(f"the model that is compared with was retrained with the same settings, those of the {N} rows")
        for line in lines
    )


def test_before_any_request_joining_needs_no_guarantee() -> None:
    model = fitted().learn_more(X[:2] / 2, Y[:2])
    assert not hasattr(model, "guarantee_")
    assert model._run.steps == 66
    assert model.unlearn(ids=["person 1", N]).guarantee_.epsilon(model.delta_) <= 1.0


def test_predictions_learn_from_rows_that_join() -> None:
    away = np.tile([0.0, -0.9, 0.0, 0.0], (40, 1)) + np.random.default_rng(5).standard_normal((40, 4)) / 50
    model = fitted(None, sigma=1e-3, largest_n=200, epsilon=600.0, random_state=3)
    before = (model.predict(away) == "yes").mean()
    model.learn_more(away, ["yes"] * 40, epochs=20)
    assert (model.predict(away) == "yes").mean() > max(before, 0.95)


def unchanged(model: Any, call: Any, match: str, error: type[Exception] = InputError) -> None:
    before = (model.coef_.copy(), model.requests_, model.steps_run_, model._stream.to_json(), left(model), model._row_labels.n)
    with pytest.raises(error, match=match):
        call(model)
    np.testing.assert_array_equal(model.coef_, before[0])
    assert (model.requests_, model.steps_run_, model._stream.to_json(), left(model), model._row_labels.n) == before[1:]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.unlearn(), "exactly one of indices and ids must be given, got neither"),
        (lambda m: m.unlearn([1], ids=["person 1"]), "exactly one of indices and ids must be given, got both"),
        (lambda m: m.unlearn(ids=["person 1"], by="rows"), "ids need .* no by"),
        (lambda m: m.unlearn(ids=["nobody"]), "records that are there, got 'nobody'"),
        (lambda m: m.unlearn(ids=["person 4"]), "records that are there, got 'person 4'"),
        (lambda m: m.unlearn(ids=["person 1", "person 1"]), "got 'person 1' more than once"),
        (lambda m: m.unlearn(ids="person 1"), "a list of identifiers"),
        (lambda m: m.unlearn(ids=[True]), "text or integers"),
        (lambda m: m.unlearn(ids=[1]), "records that are there, got 1"),
        (lambda m: m.unlearn([4]), "not been removed before, got 4"),
        (lambda m: m.unlearn([N]), f"from 0 to {N - 1}, got {N}"),
        (lambda m: m.unlearn(ids=[name for name in IDS if name != "person 4"]), "leave at least one"),
        (lambda m: m.unlearn(ids=[IDS[k] for k in range(N) if k != 4 and Y[k] == "yes"]), "the last of 'yes'"),
        (lambda m: m.learn_more(X[:1], Y[:1], ids=["person 3"]), "no record that is there, got 'person 3'"),
        (lambda m: m.learn_more(X[:1], Y[:1], ids=["a", "b"]), "one for each of the 1 rows, got 2"),
        (lambda m: m.learn_more(X[:1], ["maybe"], ids=["a"]), "labels of"),
        (lambda m: m.learn_more(X[:1, :2], Y[:1], ids=["a"]), "4 features"),
        (lambda m: m.learn_more(X[:1], Y[:1], ids=["a"], epochs=-1), "epochs"),
        (lambda m: m.learn_more(X[:1], Y[:1], ids=["a"], epochs=0.5), "epochs"),
        (lambda m: m.learn_more(X[:13], Y[:13]), "12"),
        (lambda m: m.learn_more(X[:0], Y[:0]), "minimum of 1"),
    ],
)
def test_what_is_refused_changes_nothing(call: Any, words: str) -> None:
    model = fitted().unlearn(ids=["person 4"])
    error = ValueError if words in ("4 features", "minimum of 1") else InputError
    unchanged(model, call, words, error)


@pytest.mark.parametrize(
    ("changes", "ids", "words"),
    [
        ({"assignment": "own"}, None, "assignment must be one of secret, partition"),
        ({"assignment": "fresh"}, None, "assignment must be one of secret, partition"),
        ({"adjacency": "zero-out"}, None, "adjacency must be remove or replace with assignment=secret"),
        ({"assignment": "partition"}, None, "adjacency=remove needs an assignment by own draws"),
        ({"assignment": "partition", "adjacency": "zero-out"}, IDS, "ids must be left out with assignment=partition"),
        ({"assignment": "partition", "adjacency": "zero-out", "largest_n": 200}, None, "largest_n needs"),
        ({"largest_n": N - 1}, None, "largest_n"),
        ({"largest_n": 1.5}, None, "largest_n"),
        ({"bound": "paper"}, None, "assignment=secret needs bound=optimal"),
        ({}, IDS[:-1], "one for each of the 120 rows, got 119"),
        ({}, [*IDS[:-1], "person 0"], "got 'person 0' more than once"),
        ({}, [None] * N, "text or integers"),
        ({"batch_size": 2, "regularisation": 0.01}, None, "too large"),
    ],
)
def test_settings_that_do_not_fit(changes: dict[str, Any], ids: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        fitted(ids, **changes)


def test_a_partition_has_no_identifiers_and_nobody_joins() -> None:
    model = PNSGDClassifier(**settings(assignment="partition", adjacency="zero-out")).fit(X, Y)
    with pytest.raises(InputError, match="ids need records that draw by themselves"):
        model.unlearn(ids=[1])
    with pytest.raises(InputError, match="assignment must be secret for rows to join"):
        model.learn_more(X[:1], Y[:1])
    assert not model.unlearn([1])._run.features[1].any()


def test_a_key_is_redrawn_only_where_that_costs_less_and_nobody_can_join() -> None:
    loose, tight = fitted(batch_size=14, largest_n=N), fitted(batch_size=14)
    assert loose._trainer.algorithm.redraw is True
    assert tight._trainer.algorithm.redraw is False
    assert loose.sigma_ < tight.sigma_
    assert np.bincount(loose._run.draws.own[0]).max() <= load_limit(loose._trainer.algorithm)
    assert any("the key was redrawn at the start" in line for line in loose.unlearn([1]).guarantee_.assumptions)
    unchanged(loose, lambda m: m.learn_more(X[:1], Y[:1]), "redraw")
    # One batch is never too large.
    assert fitted(batch_size=None, largest_n=N)._trainer.algorithm.redraw is False
    assert pickle.loads(pickle.dumps(loose))._run.draws.redrawn


# Secrets


def test_the_key_is_in_no_text_and_no_parameter() -> None:
    model = fitted().unlearn(ids=["person 7"])
    [key] = model._run.draws.keys
    texts = [repr(model), str(model), repr(model.get_params()), repr(model._run), repr(model._trainer), model._stream.to_json()]
    texts += [model.guarantee_.to_json(), repr(model.guarantee_), model._repr_html_()]
    for text in texts:
        assert key.hex() not in text
        assert repr(key)[2:-1] not in text
        assert "person" not in text
    assert not hasattr(clone(model), "_run")


def test_public_attributes_of_two_keys_differ_in_the_model_only() -> None:
    """Batch sizes and losses of batches are in none: what one can see has the same form whatever was drawn."""
    models = [fitted(random_state=seed).unlearn(ids=["person 7"]) for seed in (1, 2)]
    seen = [{name: value for name, value in vars(each).items() if not name.startswith("_")} for each in models]
    assert seen[0].keys() == seen[1].keys()
    differing = {name for name in seen[0] if repr(seen[0][name]) != repr(seen[1][name])}
    assert differing == {"coef_", "intercept_", "random_state"}
    assert models[0]._run.draws.own[0].tolist() != models[1]._run.draws.own[0].tolist()
    assert models[0].guarantee_ == models[1].guarantee_


def test_nothing_is_logged_or_printed(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.DEBUG):
        fitted().unlearn(ids=["person 7"]).learn_more(X[:1], Y[:1])
    assert caplog.text == ""
    assert capsys.readouterr() == ("", "")


def test_a_key_from_a_random_state_is_marked_as_none() -> None:
    one, two = (fitted(random_state=5) for _ in range(2))
    assert one._run.draws.keys == two._run.draws.keys
    assert not one._run.draws.key_is_secret
    assert any("its key is none" in line for line in one.unlearn(ids=["person 1"]).guarantee_.assumptions)
    free = fitted().unlearn(ids=["person 1"])
    assert not any("its key is none" in line for line in free.guarantee_.assumptions)
    assert any("has the key of the draws" in line for line in free.guarantee_.assumptions)
    assert fitted()._run.draws.keys != fitted()._run.draws.keys


def test_who_left_is_not_kept_in_clear(tmp_path: Path) -> None:
    model = fitted().unlearn(ids=["person 77"])
    model.save(tmp_path / "model.npz")
    assert b"person 77" not in pickle.dumps(model)
    with np.load(tmp_path / "model.npz") as archive:
        header = archive["header"].tobytes()
    assert b"person 77" not in header
    assert b"person 78" in header


# Copies and files


@pytest.mark.parametrize("random_state", [None, 4])
@pytest.mark.parametrize("ids", [None, IDS, [*range(5, N), "5", "x", "y", "é", -(2**200)]])
def test_a_saved_model_goes_on_exactly(ids: Any, random_state: int | None, tmp_path: Path) -> None:
    file = tmp_path / "model.npz"
    model = fitted(ids, random_state=random_state)
    name = model._run.draws.identifiers[50]
    model.unlearn([50], by="rows").learn_more(X[:2] / 2, Y[:2], ids=[name, "new"])
    model.save(file)
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    again: Any = PNSGDClassifier.load(file)
    np.testing.assert_array_equal(again.coef_, model.coef_)
    for each in (again, deepcopy(model), pickle.loads(pickle.dumps(model))):
        ours, theirs = model._run.draws, each._run.draws
        assert (ours.keys, ours.key_is_secret, ours.identifiers) == (theirs.keys, theirs.key_is_secret, theirs.identifiers)
        for array in ("counters", "numbers", "joined", "own"):
            np.testing.assert_array_equal(getattr(ours, array), getattr(theirs, array))
        assert (ours.used, ours.came, ours.redrawn) == (theirs.used, theirs.came, theirs.redrawn)
        assert (each.requests_, each.steps_run_, each._run.steps) == (model.requests_, model.steps_run_, model._run.steps)
        assert each.guarantee_ == model.guarantee_
        assert each.planned_steps(2) == model.planned_steps(2)
        each.unlearn(ids=["new"]).learn_more(X[:1], Y[:1], ids=["new"])
        assert each._run.draws.counters[-1] == 1
    again.save(file)
    once: Any = PNSGDClassifier.load(file)
    assert once.requests_ == ((50,), (N + 1,))
    np.testing.assert_array_equal(once._run.draws.own, again._run.draws.own)


def test_files_say_that_they_hold_the_key(tmp_path: Path) -> None:
    file = tmp_path / "model.npz"
    model = fitted()
    model.save(file)
    with np.load(file) as archive:
        header = json.loads(archive["header"].tobytes())
    assert header["format"] == 3
    assert bytes.fromhex(header["draws"]["key"]) == model._run.draws.keys[0]
    assert "keep it secret" in header["draws"]["note"]
    assert header["generator"] is None


def test_damaged_draws_are_refused(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.npz", tmp_path / "bad.npz"
    fitted().unlearn([3]).learn_more(X[:1], Y[:1], ids=["a"]).save(good)

    def written(change: Any) -> Path:
        with np.load(good) as archive:
            arrays = dict(archive)
        header = json.loads(arrays["header"].tobytes())
        change(header["draws"], arrays, header)
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        np.savez(bad, **arrays)
        return bad

    assert PNSGDClassifier.load(written(lambda draws, arrays, header: None)).requests_ == ((3,),)
    changes = [
        lambda draws, arrays, header: draws.update(key="00"),
        lambda draws, arrays, header: draws.update(key="xy" * 32),
        lambda draws, arrays, header: draws.pop("key"),
        lambda draws, arrays, header: draws.update(came=5),
        lambda draws, arrays, header: draws.update(came=500),
        lambda draws, arrays, header: draws.update(n=0),
        lambda draws, arrays, header: draws.update(n=60),
        lambda draws, arrays, header: draws.update(redrawn=True),
        lambda draws, arrays, header: draws["identifiers"].pop(),
        lambda draws, arrays, header: draws["identifiers"].__setitem__(0, "person 5"),
        lambda draws, arrays, header: draws["identifiers"].__setitem__(0, 1.5),
        lambda draws, arrays, header: draws.update(used={"00": 0}),
        lambda draws, arrays, header: draws.update(used=[1]),
        lambda draws, arrays, header: header.update(draws=None),
        lambda draws, arrays, header: arrays.update(counters=arrays["counters"] - 1),
        lambda draws, arrays, header: arrays.update(numbers=arrays["numbers"][::-1].copy()),
        lambda draws, arrays, header: arrays.update(joined=arrays["joined"][1:]),
        lambda draws, arrays, header: arrays.pop("joined"),
        lambda draws, arrays, header: arrays.update(order=np.arange(N)),
        lambda draws, arrays, header: header.update(requests=[[4]]),
        lambda draws, arrays, header: header["params"].update(assignment="partition", adjacency="zero-out"),
    ]
    for change in changes:
        with pytest.raises(InputError, match=r"^path \S+bad.npz (cannot be loaded: |must be a file that save wrote)"):
            PNSGDClassifier.load(written(change))


def test_regressors_too(tmp_path: Path) -> None:
    model = PNSGDRegressor(**settings(clip=0.5)).fit(X, X[:, 0], ids=IDS)
    model.unlearn(ids=["person 3"]).learn_more(X[:2] / 2, X[:2, 0], ids=["a", "b"])
    model.save(tmp_path / "model.npz")
    again = PNSGDRegressor.load(tmp_path / "model.npz").unlearn(ids=["a"])
    assert again.requests_ == ((3,), (N,))
    assert again.guarantee_.epsilon(again.delta_) <= 1.0


def test_requests_that_need_too_many_steps_change_nothing() -> None:
    model = fitted(sigma=1e-4)
    unchanged(model, lambda m: m.unlearn(ids=["person 1"], max_steps=3), "max_steps", UnreachableError)


def test_a_file_with_a_key_is_the_owners_alone_whatever_was_there(tmp_path: Path) -> None:
    model, path = fitted(), tmp_path / "model.npz"
    model.save(path)
    path.chmod(0o664)
    model.save(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_read_from_a_file_shows_no_key_and_no_rows(tmp_path: Path) -> None:
    model, path = fitted(random_state=918273645), tmp_path / "model.npz"
    model.unlearn(ids=["person 7"]).save(path)
    [key] = model._run.draws.keys
    state = model._run.generators[0].bit_generator.state["state"]["state"]
    with reading(path, "PNSGDClassifier") as saved:
        assert saved.draws is not None
        assert saved.draws["key"] == key.hex()
        for text in (repr(saved), str(saved), f"{saved}"):
            for secret in (key.hex(), repr(key), "918273645", str(state), "person", "guarantee", "stream", "labels"):
                assert secret not in text
