"""The commands about fine-tuning: answers, options and refusals, tables of others' runs, and the published ones again."""

import csv
import importlib.util
import json
import math
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import oracle_finetuning as oracle
import pytest
from typer.testing import CliRunner

from accountant import ConvexNonsmooth, FineTuning, NotUniqueWarning, SmoothNonconvex, UnlearningAccountant, questions
from accountant.commands.program import app
from accountant.methods import StepBound
from accountant.numerics import InputError
from accountant.questions import stepping_of
from accountant.tables import builtin

TUNE = ("--algorithm", "fine-tuning", "--gradient-clip", "1", "--start-clip", "1", "--step-size", "0.01")
ONE = UnlearningAccountant(FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0))
TARGET = ("--epsilon", "1", "--delta", "1e-5")
EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def made(*words: str, code: int = 0) -> dict[str, Any]:
    result = run(*words, "--json")
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def refused(*words: str) -> str:
    result = run(*words)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    return str(line)


def table(folder: Path, text: str) -> str:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


# --- answers


def test_the_commands_of_the_description() -> None:
    found = made("sigma", *TUNE, "--steps", "100", *TARGET)
    assert found["sigma"] == pytest.approx(1.492252654, rel=5e-10)
    assert found["noise_std"] == found["sigma"]
    assert found["blocks"] == 1
    assert found["comparison"]["bound"] == "finetune-clipping"
    assert found["comparison"]["sigma"] == pytest.approx(2.035842127, rel=5e-10)
    words = ("--gradient-clip", "10", "--start-clip", "0.1", "--weight-decay", "50", "--step-size", "0.001", "--sigma", "0.05")
    found = made("epsilon", "--algorithm", "fine-tuning", *words, "--steps", "10", "--delta", "1e-5")
    expected = float(oracle.epsilon_of(oracle.chord(0.1, 10, 0.001, 50, 10) / 0.05, 1e-5))
    assert found["epsilon"] == pytest.approx(expected, rel=1e-9)
    assert "weight_decay must be 0" in found["comparison"]["reason"]


def test_every_command_says_what_sigma_is_and_what_is_compared() -> None:
    commands = {
        "sigma": ("--steps", "100", *TARGET),
        "epsilon": ("--steps", "100", "--sigma", "2", "--delta", "1e-5"),
        "delta": ("--steps", "100", "--sigma", "2", "--epsilon", "1"),
        "steps": ("--sigma", "2", *TARGET),
        "curve": ("--steps", "100", "--sigma", "2", "--delta", "1e-5", "--grid", "3"),
        "plan": ("--sigma", "2", *TARGET, "--requests", "10"),
        "compare": ("--steps", "100", *TARGET),
    }
    for command, words in commands.items():
        text = " ".join(run(command, *TUNE, *words, "--verbose").stdout.split())
        assert "sqrt(2 eta)" in text, command
        assert "retrained without the records" in text, command
        found = made(command, *TUNE, *words)
        assert found["problem"] is None
        assert found["algorithm"]["name"] == "fine-tuning"
        if command != "compare":
            for name in ("epochs", "batches", "group_size", "tightness", "gradient_evaluations", "schedule"):
                assert found[name] is None
            assert "single string" in text, command
    assert "requests do not pile up" in " ".join(run("plan", *TUNE, *commands["plan"]).stdout.split())


def test_the_keys_are_those_of_the_other_commands() -> None:
    ordinary = made("sigma", "--preset", "mnist", "--epochs", "1", "--epsilon", "1")
    assert ordinary.keys() | {"blocks", "split"} == made("sigma", *TUNE, "--steps", "100", *TARGET).keys()


def test_what_solve_warns_of_beside_its_notes_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def solved(**question: Any) -> float:
        warnings.warn("there is another one", NotUniqueWarning, stacklevel=2)
        warnings.warn("digits are lost", RuntimeWarning, stacklevel=2)
        return 5.0

    monkeypatch.setattr(questions, "solve", solved)
    with pytest.warns(RuntimeWarning, match="digits are lost") as caught:
        found = made("solve", "sigma", "--preset", "mnist", "--epsilon", "1", "--epochs", "1")
    assert found["notes"] == ["there is another one"]
    assert [entry.category for entry in caught] == [RuntimeWarning]


def test_there_and_back() -> None:
    for more in ((), ("--model-clip", "1"), ("--model-clip", "0.5", "--clip-first", "yes"), ("--weight-decay", "5")):
        sigma = made("sigma", *TUNE, *more, "--steps", "60", *TARGET)["sigma"]
        assert made("epsilon", *TUNE, *more, "--steps", "60", "--sigma", repr(sigma), "--delta", "1e-5")["epsilon"] <= 1
        back = made("delta", *TUNE, *more, "--steps", "60", "--sigma", repr(sigma), "--epsilon", "1")["delta"]
        assert back == pytest.approx(1e-5, rel=1e-6)
        enough = repr(sigma * (1 + 1e-9))
        steps = made("steps", *TUNE, *more, "--sigma", enough, *TARGET)
        assert steps["steps"] <= 60
        assert steps["epsilon_achieved"] <= 1
        assert steps == made("epochs", "--steps", *TUNE, *more, "--sigma", enough, *TARGET)


def test_solve_finds_whichever_number_is_not_known() -> None:
    rest = ("--steps", "100", *TARGET)
    assert made("solve", "sigma", *TUNE, *rest)["value"] == ONE.sigma(epsilon=1.0, delta=1e-5, steps=100)
    assert made("solve", "steps", *TUNE, "--sigma", "2", *TARGET)["value"] == 21
    assert made("solve", "epsilon", *TUNE, "--sigma", "2", "--steps", "100", "--delta", "1e-5")["value"] < 1
    start = ("--algorithm", "fine-tuning", "--step-size", "0.01", "--start-clip", "1")
    found = made("solve", "gradient-clip", *start, "--sigma", "1.5", *rest)["value"]
    assert found == pytest.approx(1.010410, abs=1e-6)
    # The string may stop before the last step.
    least = min(float(oracle.chord(1, found, 0.01, 0, steps)) for steps in (98, 99, 100))
    assert least / 1.5 == pytest.approx(float(oracle.mu_of(1.0, 1e-5)), rel=1e-8)
    for name in ("step-size", "start-clip", "weight-decay"):
        values = {"--step-size": "0.01", "--start-clip": "1", "--gradient-clip": "1"}
        values.pop(f"--{name}", None)
        words = [word for pair in values.items() for word in pair]
        value = made("solve", name, "--algorithm", "fine-tuning", *words, "--sigma", "1.4", *rest)["value"]
        run_ = ("--algorithm", "fine-tuning", *words, f"--{name}", repr(value), "--sigma", "1.4", "--steps", "100")
        epsilon = made("epsilon", *run_, "--delta", "1e-5")["epsilon"]
        assert epsilon <= 1
        assert epsilon == pytest.approx(1, rel=1e-6)
    batch = made("solve", "batch-size", "--preset", "mnist", "--sigma", "0.001", "--epsilon", "1", "--epochs", "1")
    assert isinstance(batch["value"], int)
    assert "sqrt(2 eta)" in " ".join(run("solve", "sigma", *TUNE, *rest).stdout.split())


def test_many_digits() -> None:
    block = made("sigma", *TUNE, "--steps", "100", *TARGET, "--precision", "30")["precision"]
    expected = oracle.chord(1, 1, oracle.mpf("0.01"), 0, 100) / oracle.mu_of(1.0, oracle.mpf("1e-5"))
    assert abs(oracle.mpf(block["sigma"]) / expected - 1) < oracle.mpf("1e-29")
    assert block["inputs"]["gradient_clip"] == "1"
    blocks = made(
        "epsilon", *TUNE, "--model-clip", "1", "--steps", "20", "--sigma", "0.5", "--delta", "1e-5", "--precision", "15"
    )
    assert float(blocks["precision"]["epsilon"]) == pytest.approx(blocks["epsilon"], rel=1e-10)


def test_blocks_are_told_and_mu_is_not() -> None:
    found = made("sigma", *TUNE, "--model-clip", "1", "--steps", "100", *TARGET)
    assert found["sigma"] <= 0.260463
    assert found["blocks"] == len(found["split"]) > 1
    assert sum(found["split"]) <= 100
    assert found["mu_worst"] is None
    assert (
        f"{found['blocks']} blocks" in run("sigma", *TUNE, "--model-clip", "1", "--steps", "100", *TARGET, "--verbose").stdout
    )
    published = made("sigma", *TUNE, "--model-clip", "1", "--clip-first", "yes", "--steps", "100", *TARGET)["comparison"]
    assert published["bound"] == "finetune-model-clipping"
    assert oracle.chain(1.0, 2 / published["sigma"], 100) <= 1e-5


def test_the_curve_is_that_of_the_string_and_of_blocks() -> None:
    found = made("curve", *TUNE, "--steps", "100", "--sigma", "2", "--grid", "4")
    for point in found["points"]:
        assert point["epsilon"] == pytest.approx(
            float(oracle.epsilon_of(found["mu_worst"], point["delta"])), rel=1e-6, abs=1e-6
        )
    orders = made("curve", *TUNE, "--steps", "100", "--sigma", "2", "--delta", "1e-5", "--over", "alpha", "--grid", "3")
    for point in orders["points"]:
        assert point["rdp"] == pytest.approx(point["alpha"] * found["mu_worst"] ** 2 / 2, rel=1e-6)
    blocks = ("curve", *TUNE, "--model-clip", "1", "--steps", "50", "--sigma", "0.5", "--grid", "3")
    for point in made(*blocks)["points"]:
        once = made("epsilon", *TUNE, "--model-clip", "1", "--steps", "50", "--sigma", "0.5", "--delta", repr(point["delta"]))
        assert point["epsilon"] == once["epsilon"]
    assert "over must be delta where blocks contract" in refused(*blocks, "--over", "alpha", "--delta", "1e-5")


def test_other_algorithms() -> None:
    words = ("--start-clip", "1", "--step-size", "0.01", "--steps", "100", *TARGET)
    hinge = made("sigma", "--algorithm", "convex-nonsmooth", "--lipschitz", "1", *words)
    own = UnlearningAccountant(ConvexNonsmooth(step_size=0.01, lipschitz=1.0, start_clip=1.0))
    assert hinge["sigma"] == own.sigma(epsilon=1.0, delta=1e-5, steps=100)
    assert hinge["comparison"] is None
    smooth = made("sigma", "--algorithm", "smooth-nonconvex", "--smoothness", "1", "--model-clip", "1", *words)
    ball = UnlearningAccountant(SmoothNonconvex(step_size=0.01, smoothness=1.0, model_clip=1.0, start_clip=1.0))
    assert smooth["sigma"] == ball.sigma(epsilon=1.0, delta=1e-5, steps=100)
    assert made("sigma", *TUNE, "--start", "centre", "--steps", "100", *TARGET)["sigma"] < 1.49


def test_settings_in_a_file(tmp_path: Path) -> None:
    values = "step_size = 0.01\ngradient_clip = 1\nstart_clip = 1\n"
    for text in (
        f'algorithm = "fine-tuning"\n{values}',
        f'[algorithm]\nname = "fine-tuning"\n{values}[target]\ndelta = 1e-5\n',
    ):
        path = tmp_path / "run.toml"
        path.write_text(text, encoding="utf-8")
        found = made("sigma", "--problem", str(path), "--steps", "100", *TARGET)
        assert found["sigma"] == pytest.approx(1.492252654, rel=5e-10)
        other = made("sigma", "--problem", str(path), "--gradient-clip", "2", "--steps", "100", *TARGET)
        assert other["algorithm"]["gradient_clip"] == 2
    path.write_text('algorithm = "fine-tuning"\nclip_firstly = true\n', encoding="utf-8")
    assert "key 'clip_firstly'" in refused("sigma", "--problem", str(path), "--steps", "100", *TARGET)
    path.write_text(f'algorithm = "fine-tuning"\nclip_first = true\nmodel_clip = 1\n{values}', encoding="utf-8")
    assert made("sigma", "--problem", str(path), "--steps", "10", *TARGET)["algorithm"]["clip_first"] is True


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("sigma", *TUNE, "--steps", "100", "--epsilon", "1"), "--delta must be given; without n there is no default 1/n"),
        (
            ("sigma", *TUNE, "--steps", "100", "--epsilon", "1", "--delta", "1/n^2"),
            "--delta must be a number for fine-tuning, which has no n, got '1/n^2'",
        ),
        (("sigma", *TUNE, "--epochs", "1", *TARGET), "common steps are counted one by one"),
        (("sigma", *TUNE, *TARGET), "steps must be given"),
        (("sigma", *TUNE, "--steps", "0", *TARGET), "steps must be at least 1"),
        (("sigma", *TUNE, "--n", "9", "--batch-size", "3", "--steps", "1", *TARGET), "--n and --batch-size must be left out"),
        (("sigma", *TUNE, "--lipschitz", "1", "--steps", "1", *TARGET), "lipschitz must be left out"),
        (("sigma", *TUNE, "--preset", "mnist", "--steps", "1", *TARGET), "preset must be left out for fine-tuning"),
        (("sigma", *TUNE, "--bound", "paper", "--steps", "1", *TARGET), "bound must be left out"),
        (("steps", *TUNE, "--precision", "20", "--sigma", "2", *TARGET), "precision goes with sigma, epsilon and delta"),
        (("solve", "gradient-clip", *TUNE, "--sigma", "2", "--steps", "9", *TARGET), "--gradient-clip must be left out"),
        (("solve", "n", *TUNE, "--sigma", "2", "--steps", "9", *TARGET), "NAME must be one of sigma"),
        (("solve", "steps", *TUNE, *TARGET), "sigma must be given for fine-tuning"),
        (("solve", "sigma", *TUNE, *TARGET, "--epochs", "3"), "epochs must be left out"),
        (("sigma", *TUNE, "--clip-first", "yes", "--steps", "1", *TARGET), "--clip-first needs --model-clip"),
        (("sigma", *TUNE, "--start", "here", "--steps", "1", *TARGET), "start must be one of clipped, centre"),
        (("sigma", "--algorithm", "fine-tuning", "--steps", "1", *TARGET), "--step-size must be given"),
        (("sigma", "--algorithm", "fine-tuning", "--step-size", "1", "--steps", "1", *TARGET), "--gradient-clip must be given"),
        (("sigma", "--algorithm", "fine-tuning", "--step-size", "1", "--gradient-clip", "1", *TARGET, "--steps", "1"), "clip"),
        (("sigma", "--algorithm", "adam", "--steps", "1", *TARGET), "algorithm must be one of pnsgd, fine-tuning"),
        (("sigma", "--preset", "mnist", "--start-clip", "1", "--epochs", "1", "--epsilon", "1"), "left out for pnsgd"),
        (("epochs", *TUNE, "--sigma", "2", *TARGET), "epochs must be left out for fine-tuning"),
        (("steps", *TUNE, "--sigma", "0.2", *TARGET), "no number of steps"),
        (("plan", *TUNE, "--sigma", "2", *TARGET, "--requests", "10", "--window", "7d"), "window must be left out"),
        (("plan", *TUNE, "--sigma", "2", *TARGET, "--requests", "requests.csv"), "must be a number or a rate for fine-tuning"),
        (("plan", *TUNE, "--sigma", "2", *TARGET, "--requests", "9" * 5000), "must be a whole number from 1, or a rate"),
        (("plan", *TUNE, "--sigma", "2", *TARGET, "--requests", "100000000"), "must be a whole number from 1 to 10000000"),
        (("plan", *TUNE, *TARGET, "--requests", "10"), "sigma must be given"),
        (("compare", *TUNE, *TARGET), "steps must be given"),
        (("compare", *TUNE, *TARGET, "--epochs", "1"), "epochs must be left out for fine-tuning"),
        (("compare", *TUNE, *TARGET, "--steps", "9", "--requests", "5"), "requests must be left out for fine-tuning"),
        (("compare", *TUNE, *TARGET, "--steps", "9", "--method", "langevin"), "method must be one of optimal"),
        (("compare", "--preset", "mnist", "--epsilon", "1", "--steps", "9"), "steps must be left out for pnsgd"),
        (("verify", "--builtin", "--algorithm", "fine-tuning"), "algorithm must be left out"),
    ],
)  # fmt: skip
def test_refusals(words: tuple[str, ...], says: str) -> None:
    assert says in refused(*words)


def test_settings_are_refused_by_name() -> None:
    with pytest.raises(InputError, match="smoothness must be left out: it is no option of fine-tuning"):
        stepping_of({"algorithm": "fine-tuning", "smoothness": 1.0, "step_size": 1.0})
    assert stepping_of({"n": 5}) is None


def test_compare_shows_the_peers_and_draws_them(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "noise.svg"
    found = made("compare", *TUNE, "--model-clip", "1", "--steps", "100", *TARGET, "--plot", str(picture))
    rows = {row["method"]: row for row in found["methods"]}
    assert list(rows) == ["optimal", "finetune-clipping", "finetune-model-clipping", "output-perturbation"]
    assert rows["optimal"]["sigma"] <= 0.260463
    assert rows["finetune-model-clipping"]["sigma"] == pytest.approx(0.41979, rel=1e-4)
    assert rows["output-perturbation"]["sigma"] == pytest.approx(float(oracle.output_sigma(1, 1, 1e-5)), rel=1e-9)
    text = picture.read_text(encoding="utf-8")
    assert text.startswith("<?xml")
    only = made("compare", *TUNE, "--steps", "9", *TARGET, "--method", "output-perturbation-exact")
    assert [row["method"] for row in only["methods"]] == ["output-perturbation-exact"]
    assert run("compare", *TUNE, "--steps", "100", *TARGET).exit_code == 0
    above = made("compare", *TUNE, "--steps", "100", "--epsilon", "11", "--delta", "1e-5")
    assert "10.98" in {row["method"]: row["reason"] for row in above["methods"]}["finetune-clipping"]


# --- tables of others' runs


def test_every_published_configuration_gets_its_verdict() -> None:
    found = made("verify", str(builtin("noisy-finetuning").path), code=1)
    assert Counter((row["method"], row["verdict"]) for row in found["rows"]) == {
        ("gradient-clipping", "fails"): 185, ("finetune-model-clipping", "certified"): 52,
        ("output-perturbation", "wasteful"): 12,
    }  # fmt: skip
    with open(builtin("noisy-finetuning").path, encoding="utf-8", newline="") as file:
        given = list(csv.DictReader(file))
    expected = {"0.1": 1.760, "1.0": 6.573, "10.0": 28.37, "100.0": 159.4}
    for row, cells in zip(found["rows"], given, strict=True):
        assert row["epsilon_claimed"] == float(cells["epsilon"])
        if cells["method"] == "gradient-clipping":
            assert row["epsilon_achieved"] == pytest.approx(expected[cells["epsilon_renyi"]], rel=5e-4)
            mu = math.sqrt(2 * float(cells["epsilon_renyi"]))
            assert row["epsilon_achieved"] == pytest.approx(float(oracle.epsilon_of(mu, 1e-5)), rel=1e-9)
            assert row["epsilon_tightest"] <= row["epsilon_achieved"]
            assert row["factor"] < 1
            assert "the public code's conversion leaves the Renyi order out" in row["reason"]
            assert f"mu = sqrt(2 epsilon_R) = {mu:.5g}, epsilon_R = {float(cells['epsilon_renyi']):.4g}" in row["reason"]
        elif cells["method"] == "model-clipping":
            assert row["epochs_needed"] == row["epochs"] == float(cells["steps"])
            assert "would do" in row["reason"]
        else:
            assert row["sigma_tightest"] == pytest.approx(float(cells["sigma"]) / 1.2986555, rel=1e-5)
            assert "times less noise" in row["reason"]
    assert found["summary"]["unchecked"] == 0
    assert any("requests do not pile up" in line for line in found["assumptions"])


def test_the_words_of_the_verdict_say_nothing_about_the_theorem() -> None:
    text = run("verify", str(builtin("noisy-finetuning").path)).stdout.lower()
    assert "theorem" not in text
    assert "paper" not in text


def test_declared_gradient_clips_make_blocks_save_more(tmp_path: Path) -> None:
    head = "method,step_size,start_clip,gradient_clip,model_clip,sigma,steps,epsilon,delta\n"
    (row,) = made("verify", table(tmp_path, head + "model-clipping,0.0001,30,0.5,0.975,0.5,36,1,1e-5\n"))["rows"]
    (plain,) = made("verify", table(tmp_path, head + "model-clipping,0.0001,30,,0.975,0.5,36,1,1e-5\n"))["rows"]
    assert row["sigma_tightest"] < 0.95 * plain["sigma_tightest"]
    assert row["verdict"] == "wasteful"
    assert "under optimal" in row["reason"]
    assert plain["verdict"] == "certified"
    same = made("verify", table(tmp_path, head + "model-clipping,0.0001,30,,0.975,0.5,36,1,1e-5\n"), "--gradient-clip", "0.5")
    assert same["rows"][0]["sigma_tightest"] == row["sigma_tightest"]


def test_other_configurations_of_the_kind(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows, truth = ["method,weight_decay,C0,C1,step_size,sigma,steps,eps,delta"], []
    for _ in range(40):
        C0, C1, gamma = 10 ** draw.uniform(-1, 1, 3) * np.array([1, 1, 0.01])
        T, delta, lam, sigma = (
            int(draw.integers(1, 60)),
            10 ** draw.uniform(-8, -2),
            draw.uniform(0, min(20, 1 / gamma)),
            10 ** draw.uniform(-2, 1),
        )
        mu = float(oracle.chord(C0, C1, gamma, lam, T)) / sigma
        if not 0.01 < mu < 20:
            continue
        epsilon = float(oracle.epsilon_of(mu, delta))
        claimed = epsilon * draw.choice([0.9, 1.1])
        cells = (lam, C0, C1, gamma, sigma)
        rows.append(f"gradient clipping,{','.join(repr(float(cell)) for cell in cells)},{T},{float(claimed)!r},{delta!r}")
        truth.append((epsilon, claimed))
    found = made("verify", table(tmp_path, "\n".join(rows)), code=1)
    for row, (epsilon, claimed) in zip(found["rows"], truth, strict=True):
        assert row["epsilon_achieved"] == pytest.approx(epsilon, rel=1e-8)
        assert row["epsilon_tightest"] <= row["epsilon_achieved"]
        assert (row["verdict"] in ("certified", "wasteful")) == (claimed > epsilon or row["epsilon_achieved"] <= claimed) or (
            row["verdict"] == "certified-tighter" and row["epsilon_tightest"] <= claimed
        )
        assert "Renyi order" not in row["reason"]


def test_the_reason_needs_no_column_of_renyi(tmp_path: Path) -> None:
    head = "method,step_size,weight_decay,start_clip,gradient_clip,sigma,steps,epsilon,delta"
    for renyi, delta in ((1.0, 1e-5), (0.3, 1e-6), (2.0, 1e-3)):
        sigma = float(oracle.chord(0.1, 10, 0.001, 1, 10)) / math.sqrt(2 * renyi)
        row = f"gradient-clipping,0.001,1,0.1,10,{sigma!r},10,{float(oracle.logged(renyi, delta))!r},{delta!r}"
        (found,) = made("verify", table(tmp_path, f"{head}\n{row}\n"), code=1)["rows"]
        assert found["verdict"] == "fails"
        assert "leaves the Renyi order out" in found["reason"]
    (found,) = made("verify", table(tmp_path, f"{head},epsilon_renyi\n{row},7\n"), code=1)["rows"]
    assert "where 7 is stated" in found["reason"]
    # Of the published formula, whose noise is another one, that is no reason.
    undecayed = float(oracle.chord(0.1, 10, 0.001, 0, 10)) / math.sqrt(2)
    cells = f"0.001,0,0.1,10,{undecayed!r},10,{float(oracle.logged(1.0, 1e-5))!r},1e-5"
    code, published = made(
        "verify", table(tmp_path, f"{head}\ngradient-clipping,{cells}\nfinetune-clipping,{cells}\n"), code=1
    )["rows"]
    assert code["verdict"] == published["verdict"] == "fails"
    assert ["Renyi order" in row["reason"] for row in (code, published)] == [True, False]


def test_rows_of_both_kinds_in_one_table(tmp_path: Path) -> None:
    text = """method,preset,batch_size,step_size,start_clip,gradient_clip,model_clip,sigma,steps,epsilon,delta
pnsgd,mnist,128,3.8276,,,,0.03,100,1,1e-5
gradient-clipping,,,0.01,1,1,,2.0359,100,1,1e-5
gradient-clipping,,,0.01,1,1,,1.0,100,1,1e-5
finetune-clipping,,,0.01,1,1,,2.0359,100,1,1e-5
finetune-clipping,,,0.01,1,1,,0.1,100,11,1e-5
output-perturbation,,,,1,,,9.7,,1,1e-5
fine-tuning,,,0.01,1,1,,1.4923,100,1,1e-5
model-clipping,,,,,,1,0.96,6,1,1e-5
gradient-clipping,,,0.01,1,,,1.0,100,1,1e-5
gradient-clipping,,,0.01,1,1,,1.0,100,1,
gradient-clipping,,,0.01,1,-1,,1.0,100,1,1e-5
model-clipping,,,0.01,,,,1.0,100,1,1e-5
gradient-clipping,,,0.01,1,1,,1.6,,1,1e-5
"""
    found = made("verify", table(tmp_path, text), code=1)
    said = [(row["method"], row["verdict"]) for row in found["rows"]]
    assert said == [
        ("pnsgd", "wasteful"),
        ("gradient-clipping", "wasteful"),
        ("gradient-clipping", "fails"),
        ("finetune-clipping", "wasteful"),
        ("finetune-clipping", "fails"),
        ("output-perturbation", "wasteful"),
        ("optimal", "certified"),
        ("finetune-model-clipping", "certified"),
        *[("gradient-clipping", "unchecked")] * 3,
        ("finetune-model-clipping", "unchecked"),
        ("gradient-clipping", "unchecked"),
    ]
    reasons = [row["reason"] for row in found["rows"]]
    # Epochs of common steps are steps; of batches they are not.
    assert [row["epochs"] for row in found["rows"][1:9]] == [100, 100, 100, 100, None, 100, 6, None]
    assert found["rows"][0]["epochs"] == 100 / 88
    assert "finetune-clipping proves nothing here" in reasons[4]
    assert "gradient_clip is not given" in reasons[8]
    assert "delta is not given" in reasons[9]
    assert "gradient_clip must be" in reasons[10]
    assert "model_clip is not given" in reasons[11]
    assert "the row has no steps" in reasons[12]
    most = oracle.mu_of(1.0, 1e-5)
    assert found["rows"][12]["epochs_needed"] == next(T for T in range(1, 100) if oracle.chord(1, 1, 0.01, 0, T) / 1.6 <= most)
    assert run("verify", table(tmp_path, text)).exit_code == 1
    assert run("verify", table(tmp_path, text), "--markdown", "--precision", "5").exit_code == 1


def test_a_row_that_lacks_steps_is_asked_no_noise_at_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(StepBound, "sigma", lambda method, setup, **question: asked.append(question["steps"].tolist()))
    text = "method,step_size,model_clip,sigma,steps,epsilon,delta\nmodel-clipping,0.01,1,0.96,,1,1e-5\n"
    (row,) = made("verify", table(tmp_path, text), code=1)["rows"]
    assert (row["verdict"], row["reason"]) == ("unchecked", "the row has no steps")
    assert row["epochs_needed"] is row["sigma_needed"] is row["epsilon_achieved"] is None
    assert asked == []


def test_long_runs_of_clipped_models_do_not_keep_the_table_waiting(tmp_path: Path) -> None:
    text = """method,step_size,start_clip,gradient_clip,model_clip,sigma,steps,epsilon,delta
model-clipping,0.001,,,0.5,0.1,1000000,1,1e-5
model-clipping,0.001,,,0.5,0.1,100,1,1e-5
gradient-clipping,0.001,1,1,,5,1000000000,1,1e-5
gradient-clipping,0.001,1,1,,1e-9,10,1,1e-5
output-perturbation,,1,,,1e-9,0,1,1e-5
model-clipping,0.001,,,0.5,0.3,0,1,1e-5
gradient-clipping,1e-5,1e-3,1e-300,,1,5,1,1e-5
"""
    rows = made("verify", table(tmp_path, text), code=1)["rows"]
    verdicts = [row["verdict"] for row in rows]
    assert verdicts == ["unchecked", "fails", "certified-tighter", "fails", "fails", "fails", "wasteful"]
    assert "too long to check" in rows[0]["reason"]
    assert rows[1]["epochs_needed"] is None


def test_rows_without_a_method_are_known_by_their_clips(tmp_path: Path) -> None:
    text = "step_size,start_clip,gradient_clip,sigma,steps,epsilon\n0.01,1,1,1.5,100,1\n0.01,1,,9.7,0,1\n"
    found = made("verify", table(tmp_path, text), "--delta", "1e-5")
    assert [row["method"] for row in found["rows"]] == ["gradient-clipping", "output-perturbation"]
    assert found["rows"][0]["assumed"]["method"] == "gradient-clipping"
    words = ("--method", "gradient-clipping", "--start-clip", "1", "--gradient-clip", "1", "--step-size", "0.01")
    only = made("verify", table(tmp_path, "sigma,steps,epsilon\n1.5,100,1\n"), "--delta", "1e-5", *words)
    assert only["rows"][0]["verdict"] == "certified"


def test_columns_of_fine_tuning_stay_unused_where_no_row_is_of_it(tmp_path: Path) -> None:
    text = "method,preset,sigma,epochs,epsilon,model_clip,start\npnsgd,mnist,0.03,1,1,0.1,x\n"
    found = made("verify", table(tmp_path, text))
    assert "columns not used: model_clip, start" in found["assumptions"]
    # Decay may be the strong convexity of noisy SGD, so it is asked about.
    decay = made("verify", table(tmp_path, text.replace("model_clip", "weight_decay")), code=1)
    assert decay["rows"][0]["verdict"] == "unchecked"
    assert "'weight_decay'" in decay["rows"][0]["reason"]


# --- the published runs again


def test_the_published_runs_again() -> None:
    found = made("reproduce", "noisy-finetuning")
    rows = found["rows"]
    assert len(rows) == 251
    assert found["largest_difference"] < 1e-12
    steps = [row for row in rows if row["what"] == "steps"]
    assert len(steps) == 52
    assert all(row["reported"] == row["ours"] == row["optimal"] for row in steps)
    formula = [(row["epsilon"], row["ours"], row["optimal"]) for row in rows if row["method"] == "finetune-clipping"]
    assert formula == [
        (1.0, pytest.approx(2.035842127, rel=5e-10), pytest.approx(1.492252654, rel=5e-10)),
        (0.1, pytest.approx(20.35842127, rel=5e-10), pytest.approx(12.29982645, rel=5e-10)),
    ]
    clipped = [row for row in rows if row["method"] == "gradient-clipping"]
    for row in clipped:
        expected = float(
            oracle.chord(row["start_clip"], row["gradient_clip"], row["step_size"], row["weight_decay"], row["steps"])
            / oracle.mu_of(row["epsilon"], row["delta"])
        )
        assert row["optimal"] == pytest.approx(expected, rel=1e-9)
        assert row["ratio"] < 0.75
    assert any("185 rows: 0.07512 to 0.747" in note for note in found["notes"])
    assert run("reproduce", "noisy-finetuning").exit_code == 0
    assert "precision must be left out" in refused("reproduce", "noisy-finetuning", "--precision", "9")


def example() -> Any:
    spec = importlib.util.spec_from_file_location("exact_clipped_loss", EXAMPLES / "exact_clipped_loss.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_exact_law_of_a_clipped_loss_exceeds_what_is_claimed_by_orders_of_magnitude() -> None:
    page = example()
    published = {
        tuple(float(row[name]) for name in ("step_size", "weight_decay", "start_clip", "gradient_clip", "sigma", "steps"))
        for row in builtin("noisy-finetuning").rows()
        if row["method"] == "gradient-clipping" and float(row["epsilon"]) < 1.01
    }
    assert {tuple(map(float, run)) for run in page.PUBLISHED} <= published
    for run_ in page.PUBLISHED:
        found = page.exact_delta(1.0036, *run_)
        assert found > 3000e-5
        assert found == pytest.approx(page.exact_delta(1.0036, *run_, points=1500), rel=5e-3)
        p, q, width = page.laws(*run_[:5], steps=run_[5])
        assert p.sum() * width == pytest.approx(1, abs=1e-9)
        assert np.allclose(p, q[::-1])
        # What the bound allows is above the truth.
        setup = FineTuning(**dict(zip(("step_size", "weight_decay", "start_clip", "gradient_clip"), run_[:4], strict=True)))
        assert found <= UnlearningAccountant(setup).delta(sigma=run_[4], epsilon=1.0036, steps=run_[5]) * (1 + 1e-3)
    assert page.exact_delta(1.0, *page.PUBLISHED[2]) == pytest.approx(0.10, abs=0.005)
    # One step is two Gaussians.
    mu = float(oracle.chord(0.1, 10, 0.01, 1, 1)) / page.PUBLISHED[0][4]
    assert page.exact_delta(1.0036, *page.PUBLISHED[0]) == pytest.approx(float(oracle.theta(1.0036, mu)), rel=1e-3)


def test_the_exact_law_against_many_runs() -> None:
    page, draw = example(), np.random.default_rng(1)
    for run_ in (page.PUBLISHED[1], page.PUBLISHED[2]):
        step_size, decay, start, clip, sigma, steps = run_
        x = np.full(200_000, start)
        for _ in range(int(steps)):
            x = (1 - step_size * decay) * x + step_size * clip * np.sign(x) + sigma * draw.standard_normal(x.size)
        p, q, width = page.laws(*run_[:5], steps=int(steps))
        places = (np.arange(p.size) + 0.5) * width - p.size * width / 2
        inside = p > math.exp(1.0036) * q
        event = np.interp(x, places, inside.astype(float)).mean()
        assert event == pytest.approx(float(p[inside].sum() * width), abs=0.006)
