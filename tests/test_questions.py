"""The question and the answer as values: one of each for a command, refusals by row, and what follows from an outcome."""

import numpy as np
import pytest
from typer.testing import CliRunner

from accountant import PNSGD, InputError, Problem, UnlearningAccountant, preset
from accountant.commands import app
from accountant.questions import Outcome, Setup

MNIST = PNSGD(preset("mnist"), 128)


def test_one_sigma_on_the_command_line_is_one_question_and_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {Setup: 0, Outcome: 0}
    for kind in counts:

        def counted(self, *arguments, made=kind.__init__, kind=kind, **options):  # type: ignore[no-untyped-def]
            counts[kind] += 1
            made(self, *arguments, **options)

        monkeypatch.setattr(kind, "__init__", counted)
    result = CliRunner().invoke(app, ["sigma", "--preset", "mnist", "--batch-size", "128", "--epsilon", "1", "--epochs", "1"])
    assert result.exit_code == 0
    assert counts == {Setup: 1, Outcome: 1}


def test_a_row_without_an_answer_is_a_value_and_the_others_keep_theirs() -> None:
    accountant = UnlearningAccountant(MNIST)
    sigmas, steps = np.array([0.001, -1.0, 0.01, 1e-250]), np.array([88, 88, 2.5, 88])
    outcome = accountant.ask("epsilon", sigma=sigmas, delta=1e-5, steps=steps)
    assert outcome.answer[0] == accountant.epsilon(sigma=0.001, delta=1e-5, steps=88)
    assert np.isinf(outcome.answer[1:]).all()
    assert set(outcome.refusals) == {1, 2, 3}
    assert outcome.refusals[1] == "sigma must be a number above 0, got -1"
    assert outcome.refusals[2].startswith("steps must be a whole number")
    assert "nothing is guaranteed" in outcome.refusals[3]


def test_what_is_refused_in_an_outcome_is_what_the_method_raises() -> None:
    convex = UnlearningAccountant(PNSGD(Problem(n=100, smoothness=1.0), 10, radius=1.0), bound="paper")
    for unknown, numbers in (
        ("sigma", {"epsilon": 0.0, "delta": 1e-5, "steps": 5}),
        ("epsilon", {"sigma": 0.1, "steps": 0}),
        ("steps", {"sigma": 1e-9, "epsilon": 1e-9, "delta": 1e-5}),
    ):
        refusals = convex.ask(unknown, **numbers).refusals
        with pytest.raises(InputError) as error:
            convex.answer(unknown, **numbers)
        assert refusals == {0: str(error.value)}


def test_refusals_broadcast_over_the_rows_that_they_are_about() -> None:
    paper = UnlearningAccountant(MNIST, bound="paper")
    outcome = paper.ask("epsilon", sigma=[0.01, 0.02, 0.03], steps=[[0], [88]])
    assert sorted(outcome.refusals) == [0, 1, 2]
    assert outcome.answer.shape == (2, 3)
    assert np.array_equal(outcome.answer[1], paper.epsilon(sigma=[0.01, 0.02, 0.03], steps=88))


def test_where_there_is_no_question_the_whole_of_it_is_refused() -> None:
    apart = UnlearningAccountant(MNIST, reference=5)
    with pytest.raises(InputError, match="needs a radius"):
        apart.ask("epsilon", sigma=[0.01], epochs=1)
    with pytest.raises(InputError, match="a number above 0"):
        UnlearningAccountant(MNIST).ask("epsilon", sigma=["a"], epochs=1)


@pytest.mark.parametrize("group", [1, 40])
@pytest.mark.parametrize("batches", ["random", "worst", "reshuffle"])
def test_what_follows_from_an_outcome_is_what_the_accountant_answers(batches: str, group: int) -> None:
    accountant = UnlearningAccountant(MNIST, batches=batches, group_size=group)
    outcome = accountant.ask("sigma", epsilon=1.0, epochs=2)
    assert outcome.sigma == accountant.sigma(epsilon=1.0, epochs=2)
    assert outcome.delta == 1 / 11_264
    assert (outcome.steps, outcome.epochs) == (176, 2)
    assert outcome.guarantee == accountant.guarantee(sigma=outcome.sigma, steps=176)
    assert outcome.tightness == accountant.tightness(epochs=2)
    assert outcome.averaging == accountant.averaging(epochs=2)
    assert outcome.epsilon_proved == accountant.epsilon(sigma=outcome.sigma, epochs=2)
    assert outcome.mu_worst == accountant.with_(batches="worst").guarantee(sigma=outcome.sigma, steps=176).mu_worst


def test_a_setup_is_changed_by_the_names_of_its_parts() -> None:
    setup = Setup(MNIST, batches=[1, 2] + [0] * 86)
    assert setup.group_size == 3
    assert setup.with_(batch_size=32, batches="worst", group_size=2) == Setup(
        PNSGD(preset("mnist"), 32), batches="worst", group_size=2
    )
    assert setup.with_(batches=(5,) + (0,) * 87).group_size == 5
    assert setup.with_(n=1000, smoothness=1.0, batches=None, group_size=1).algorithm.step_size == 1.0
    assert Setup.of({"n": 50, "smoothness": 2.0, "batch_size": 5, "reference": "converged"}).setting.reference == "converged"
