"""The command line says what Python says, fits 80 columns, and refuses bad input with one sentence and exit code 2."""

import json
import math
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from accountant import PNSGD, UnlearningAccountant, preset
from accountant.commands.program import app
from accountant.numerics import digits

KEYS = {
    "command", "sigma", "epsilon", "delta", "epochs", "steps", "bound", "batches", "reference", "contraction",
    "mu_worst", "tightness", "assumptions", "problem", "algorithm", "version",
}  # fmt: skip
P = ("--preset", "mnist")
MNIST = UnlearningAccountant(PNSGD(preset("mnist"), 128))


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def answer(*words: str) -> dict[str, Any]:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert set(record) >= KEYS or record["command"] == "presets"
    return record


def mnist(command: str, *words: str) -> dict[str, Any]:
    return answer(command, "--preset", "mnist", "--batch-size", "128", *words)


def test_sigma() -> None:
    record = mnist("sigma", "--epsilon", "1", "--epochs", "1")
    assert record["sigma"] == MNIST.sigma(epsilon=1.0, epochs=1)
    assert record["delta"] == 1 / 11_264
    assert record["delta_is_default"] is True
    assert (record["epochs"], record["steps"]) == (1, 88)
    assert record["comparison"]["bound"] == "paper"
    assert record["comparison"]["sigma"] == pytest.approx(0.0028622976, rel=1e-7)
    assert record["noise_std"] == pytest.approx(math.sqrt(2 / 0.261264) * record["sigma"])
    assert record["noise_multiplier"] == pytest.approx(128 * record["sigma"] * math.sqrt(2 * 0.261264))
    assert record["mu_worst"] == pytest.approx(MNIST.gdp(sigma=record["sigma"], epochs=1).max())


def test_epsilon_delta_and_epochs() -> None:
    assert mnist("epsilon", "--sigma", "0.001", "--steps", "30")["epsilon"] == MNIST.epsilon(sigma=0.001, steps=30)
    record = mnist("delta", "--sigma", "0.001", "--epsilon", "0.5", "--epochs", "1")
    assert record["delta"] == MNIST.delta(sigma=0.001, epsilon=0.5, epochs=1)
    record = mnist("epochs", "--sigma", "0.0001", "--epsilon", "1")
    assert record["epochs"] == MNIST.epochs(sigma=0.0001, epsilon=1.0)
    assert record["steps"] == 88 * record["epochs"]
    assert record["epsilon_achieved"] <= 1
    record = mnist("epochs", "--sigma", "0.001", "--epsilon", "1", "--steps")
    assert record["steps"] == MNIST.steps(sigma=0.001, epsilon=1.0)
    assert record["epochs"] == record["steps"] / 88


def test_curves() -> None:
    record = mnist("curve", "--sigma", "0.001", "--epochs", "1", "--from", "1e-9", "--to", "0.01", "--grid", "3")
    assert [point["delta"] for point in record["points"]] == pytest.approx([1e-9, 10**-5.5, 0.01])
    assert record["points"][0]["epsilon"] == MNIST.epsilon(sigma=0.001, delta=1e-9, epochs=1)
    record = mnist("curve", "--sigma", "0.001", "--epochs", "1", "--over", "alpha", "--from", "2", "--to", "8", "--grid", "2")
    assert record["points"][1]["rdp"] == pytest.approx(MNIST.rdp(alpha=8, sigma=0.001, epochs=1), rel=1e-13)


def test_presets() -> None:
    record = answer("presets")
    assert record["presets"]["mnist"]["n"] == 11_264
    assert "cifar10" in run("presets").stdout


def test_without_an_unlearning_step_the_comparison_gives_its_reason() -> None:
    record = answer("epsilon", "--preset", "mnist", "--sigma", "1", "--steps", "0")
    assert record["comparison"]["epsilon"] is None
    assert "says nothing without unlearning" in record["comparison"]["reason"]


def test_a_toml_file_has_the_constructors_keys_and_options_override_it(tmp_path: Path) -> None:
    flat = tmp_path / "flat.toml"
    flat.write_text('n = 1000\nsmoothness = 1.0\nstrong_convexity = 0.1\nbatch_size = 50\nbatches = "worst"\n')
    tables = tmp_path / "tables.toml"
    tables.write_text(
        "[problem]\nn = 1000\nsmoothness = 1.0\nstrong_convexity = 0.1\n[algorithm]\nbatch_size = 50\n"
        '[accountant]\nbatches = "worst"\n'
    )
    question = ("sigma", "--epsilon", "1", "--epochs", "2")
    one, two = (answer(*question, "--problem", str(path)) for path in (flat, tables))
    # What to type next names the file.
    assert one.pop("next").replace("flat.toml", "tables.toml") == two.pop("next")
    assert one == two
    assert one["batches"] == "worst"
    assert one["algorithm"]["batch_size"] == 50
    other = answer(*question, "--problem", str(flat), "--n", "2000", "--batch-size", "full", "--batches", "0")
    assert (other["problem"]["n"], other["algorithm"]["batch_size"], other["batches"]) == (2000, 2000, 0)


def test_the_value_default_undoes_a_setting_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "problem.toml"
    path.write_bytes(b"\xef\xbb\xbf" + b'n = 100\r\nsmoothness = 1.0\r\nradius = 0.5\r\nlearn_epochs = 3\nbound = "paper"\n')
    back = ("--radius", "default", "--learn-epochs", "default", "--bound", "default", "--strong-convexity", "0.5")
    record = answer("sigma", "--problem", str(path), *back, "--epsilon", "1", "--epochs", "1")
    assert (record["algorithm"]["radius"], record["algorithm"]["learn_epochs"]) == (None, None)
    assert record["bound"] == "optimal"


def test_output_survives_a_terminal_that_knows_ascii_only() -> None:
    code = "from accountant.commands import main; main()"
    for words in (["--help"], ["curve", "--help"], ["curve", *P, "--sigma", "1", "--epochs", "1", "--over", "alpha"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, env={"PYTHONIOENCODING": "ascii"}
        )
        assert done.returncode == 0, done.stderr


def test_a_radius_takes_projection_out_of_the_claim_of_tightness() -> None:
    words = ("sigma", *P, "--epsilon", "1", "--epochs", "1", "--verbose")
    free, ball = (" ".join(run(*words, *more).stdout.split()) for more in ((), ("--radius", "10")))
    assert "two Gaussian runs attain it: it cannot be smaller" in free
    assert "attain" not in ball
    assert "smaller" not in ball


@pytest.mark.parametrize(
    "words",
    [
        ("sigma", "--epsilon", "1", "--epochs", "1"),
        ("epsilon", "--sigma", "0.01", "--steps", "3"),
        ("epsilon", "--sigma", "0.01", "--epochs", "1", "--bound", "paper-geometric", "--batches", "random"),
        ("delta", "--sigma", "0.01", "--epsilon", "1", "--epochs", "1"),
        ("epochs", "--sigma", "0.01", "--epsilon", "1"),
        ("curve", "--sigma", "0.01", "--epochs", "1"),
        ("sigma", "--epsilon", "1", "--steps", "0", "--radius", "0.001"),
    ],
)
def test_tables_fit_80_columns_and_name_the_assumptions(words: tuple[str, ...]) -> None:
    words = (words[0], "--preset", "mnist", "--batch-size", "512", *words[1:])
    short, long = run(*words), run(*words, "--verbose")
    record = answer(*words)
    for result in (short, long):
        assert result.exit_code == 0, result.output
        assert max(len(line) for line in result.stdout.splitlines()) <= 80
        assert "1/n, the default" in " ".join(result.stdout.split()) or words[0] == "delta"
    assert "Assumptions" in long.stdout
    for line in record["assumptions"]:
        assert line in " ".join(long.stdout.split())
    # The short one has what the user is to check, and says where the rest is.
    assert "--verbose" in short.stdout
    said = " ".join(short.stdout.split())
    assert [line for line in (*record["to_check"], *record["assumptions"]) if line in said] == [
        *record["to_check"], *(line for line in record["assumptions"] if line in record["to_check"])
    ]  # fmt: skip


def test_printed_noise_is_rounded_up() -> None:
    text = run("sigma", "--preset", "mnist", "--batch-size", "128", "--epsilon", "1", "--epochs", "1").stdout
    printed = text.split()[text.split().index("sigma") + 2]
    assert text.startswith(f"sigma = {printed} is enough noise")
    assert MNIST.epsilon(sigma=float(printed), epochs=1) <= 1.0


def test_what_a_user_is_to_make_true_is_never_left_out() -> None:
    """All lines but those that say what the guarantee is of and how it was computed."""
    ours = {
        "adjacency", "reference", "averaged over", "holds for every batch order", "holds whatever", "compared with the same",
        "learning has converged (or", "points are deleted at once",
    }  # fmt: skip
    base: list[tuple[str, ...]] = [
        (), ("--batches", "worst"), ("--batches", "3"), ("--group-size", "5"), ("--reference", "converged"),
        ("--learn-epochs", "3"), ("--radius", "2"), ("--assignment", "secret", "--adjacency", "remove"),
        ("--assignment", "secret", "--adjacency", "replace", "--batches", "worst"), ("--float", "float64", "--dimension", "10"),
        ("--batches", "reshuffle", "--learn-epochs", "4"), ("--last-batch", "drop", "--batch-size", "127"),
    ]  # fmt: skip
    for words in base:
        record = mnist("epsilon", "--sigma", "0.01", "--epochs", "1", *words)
        left = [line for line in record["assumptions"] if line not in record["to_check"]]
        assert [line for line in left if not any(known in line for known in ours)] == []
        for mine in ("-smooth and", "norm at most", "neither on the batch order nor on any model", "released, unlearned model"):
            assert any(mine in line for line in record["to_check"]), (words, mine)
        assert any(f"standard deviation sqrt(2 eta) sigma = {digits(record['noise_std'])}" in s for s in record["to_check"])


@pytest.mark.parametrize(
    "words",
    [
        ("sigma", *P, "--batch-size", "128", "--epsilon", "1", "--epochs", "1"),
        ("sigma", *P, "--epsilon", "1", "--delta", "1e-6", "--steps", "2", "--bound", "paper"),
        ("sigma", *P, "--epsilon", "1", "--epochs", "1", "--batches", "reshuffle", "--learn-epochs", "2"),
        ("sigma", *P, "--assignment", "secret", "--adjacency", "remove", "--redraw", "no", "--epsilon", "1", "--epochs", "1"),
        ("epochs", *P, "--batch-size", "128", "--sigma", "0.001", "--epsilon", "1"),
        ("curve", *P, "--sigma", "0.01", "--epochs", "1"),
        ("delta", *P, "--sigma", "0.01", "--epsilon", "0.2", "--steps", "2", "--group-size", "3"),
        ("steps", "--algorithm", "fine-tuning", "--step-size", "0.01", "--gradient-clip", "1", "--start-clip", "1",
         "--model-clip", "1", "--clip-first", "yes", "--sigma", "2", "--epsilon", "1", "--delta", "1e-5"),
    ],
)  # fmt: skip
def test_what_is_said_to_be_next_runs_as_it_stands_on_the_screen(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = run(*words).stdout.split("Next\n")[1]
    typed = shlex.split(shown.replace("\\\n", ""))
    assert shlex.join(typed) == answer(*words)["next"]
    runs = {
        "--bound": "curve",
        "reshuffle": "curve",
        "--group-size": "curve",
        "epochs": "plan",
        "steps": "plan",
        "curve": "curve",
    }
    assert typed[1] == next((runs[word] for word in words if word in runs), "certify")
    if typed[1] == "certify":
        pytest.importorskip("flint")
    result = run(*typed[1:])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("epsilon", *P, "--sigma", "-1", "--epochs", "1"), "sigma must be a number above 0, got -1"),
        (("epsilon", *P, "--sigma", "0", "--epochs", "1"), "sigma must be a number above 0, got 0"),
        (("epsilon", *P, "--sigma", "nan", "--epochs", "1"), "--sigma must be a number, got 'nan'"),
        (("epsilon", *P, "--sigma", "inf", "--epochs", "1"), "--sigma must be a number, got 'inf'"),
        (("epsilon", *P, "--sigma", "much", "--epochs", "1"), "must be a number, got 'much'"),
        (("epsilon", *P, "--epochs", "1"), "--sigma must be given; a problem file may say the target, too"),
        (("sigma", *P, "--epochs", "1"), "epsilon must be given"),
        (("sigma", *P, "--epsilon", "-1", "--epochs", "1"), "epsilon must be a number from 0 to 1e290, got -1"),
        (("sigma", *P, "--epsilon", "1", "--epochs", "1", "--delta", "0"), "delta must be"),
        (("sigma", *P, "--epsilon", "1", "--epochs", "1", "--delta", "1"), "delta must be"),
        (("sigma", *P, "--epsilon", "1", "--epochs", "1", "--batch-size", "0"), "must be a whole number from 1 to 11264"),
        (("sigma", *P, "--epsilon", "1", "--epochs", "1", "--batch-size", "11265"), "--batch-size must be a whole number"),
        (("sigma", *P, "--epsilon", "1", "--epochs", "1", "--strong-convexity", "1"), "--strong-convexity must be at most"),
        (("sigma", *P, "--epsilon", "1", "--epochs", "1", "--step-size", "7.7"), "--step-size must be"),
        (("sigma", *P, "--epsilon", "1", "--epochs", "1", "--n", "10.5"), "must be a whole number, got '10.5'"),
        (("sigma", *P, "--epsilon", "1", "--epochs", "1", "--bound", "best"), "bound must be one of"),
        (("sigma", *P, "--epsilon", "1", "--epochs", "1", "--batches", "1"), "position from 0 to 0, got 1"),
        (
            ("sigma", *P, "--epsilon", "1", "--epochs", "1", "--steps", "1"),
            "give either --epochs or --steps (0 is allowed), got both",
        ),
        (("sigma", *P, "--epsilon", "1"), "--epochs (or --steps) must be given"),
        (("sigma", *P, "--epsilon", "1", "--epochs", "1", "--batches", "9" * 5000), "batches must be random, worst, resh"),
        (("sigma", *P, "--epsilon", "1", "--epochs", "1", "--delta", "1e-320"), "--delta must be 1e-300 to 1e300 in size"),
        (("sigma", *P, "--epsilon", "1e-300", "--epochs", "1", "--bound", "paper"), "not resolved below 1e-150"),
        (("sigma", *P, "--epsilon", "1", "--epochs", "0", "--bound", "paper"), "epochs must be at least 1"),
        (("sigma", *P, "--epsilon", "0", "--epochs", "1", "--bound", "paper"), "never reaches epsilon = 0"),
        (("sigma", *P, "--epsilon", "1", "--epochs", "1", "--reference", "9"), "needs a radius"),
        (("sigma", "--preset", "imagenet", "--epsilon", "1", "--epochs", "1"), "preset must be one of mnist, cifar10"),
        (("sigma", "--epsilon", "1", "--epochs", "1"), "--n and --smoothness must be given"),
        (("sigma", "--problem", "nowhere.toml", "--epsilon", "1", "--epochs", "1"), "cannot be read"),
        (("epochs", *P, "--radius", "9", "--reference", "1", "--sigma", "0.01", "--epsilon", "1"), "still remembers"),
        (("curve", *P, "--sigma", "1", "--epochs", "1", "--over", "gamma"), "--over must be one of delta, alpha"),
        (("curve", *P, "--sigma", "1", "--epochs", "1", "--to", "1.5"), "to must be a number"),
        (("curve", *P, "--sigma", "1", "--epochs", "1", "--grid", "1"), "--grid must be a whole number from 2"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(words: tuple[str, ...], says: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert says in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"n = 10\nsmoothness = 1.0\ncolour = 3\n", "key 'colour'"),
        (b"[data]\nn = 10\n", "table [data]"),
        (b"[problem]\nbatch_size = 10\n", "key 'batch_size'"),
        (b"n = 10\n[problem]\nn = 10\n", "stands twice"),
        (b"n = \n", "is not TOML"),
        (b"\xff\xfe", "is not TOML"),
        (b'n = "ten"\nsmoothness = 1.0\n', "n in FILE must be a whole number"),
        (b"n = 10\nsmoothness = nan\n", "smoothness in FILE must be"),
        (b"n = 10\n", "smoothness must be given"),
        (b"#" * (1 << 21), "at most 1048576 bytes"),
        (b"n = " + b"1" * 5000, "is not TOML"),
        (b"n = " + b"[" * 5000, "is not TOML"),
    ],
)
def test_bad_toml_is_one_sentence_and_exit_code_2(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "problem.toml"
    path.write_bytes(content)
    result = run("sigma", "--problem", str(path), "--epsilon", "1", "--epochs", "1")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert says.replace("FILE", str(path)) in result.stderr


def test_a_comparison_has_a_row_per_method_and_all_of_them_where_asked_for() -> None:
    words = ("compare", *P, "--epsilon", "1", "--epochs", "1", "--requests", "5")
    record = json.loads(run(*words, "--json").stdout)
    names = [row["method"] for row in record["methods"]]

    def rows(*more: str) -> list[str]:
        lines = run(*words, *more).stdout.splitlines()
        assert max(map(len, lines)) <= 80
        return [line.split()[0] for line in lines if line.split() and line.split()[0] in names and "11264" in line]

    short, long = rows(), rows("--all")
    variants = {"paper", "paper-geometric", "not-converged", "pnsgd", "d2d", "d2d-open", "newton"}
    variants |= {
        "rewind",
        "rewind-random",
        "certified-removal",
        "langevin-smooth",
        "smooth-ball",
        "convex-ball",
        "dp-convergent",
    }
    assert set(long) == set(names)
    # Each method that is compared has a row left: the tightest that is known of it.
    assert set(short) == set(names) - variants
    assert len(run(*words).stdout.splitlines()) < 70
    assert rows("--method", "paper") == ["paper", "paper"]
    stated = " ".join(run(*words).stdout.split())
    assert f"{len(set(names) & variants)} published variants" in stated
    mine = next(row for row in record["methods"] if row["method"] == "optimal")
    assert f"leaves noise {digits(mine['released_std'], 4)} in the model" in stated


def test_help_of_every_command_has_an_example() -> None:
    for command in ("sigma", "epsilon", "delta", "epochs", "curve", "plan", "presets"):
        result = run(command, "--help")
        assert result.exit_code == 0
        assert f"Example: accountant {command}" in result.stdout


def test_the_package_imports_nothing_slow() -> None:
    code = (
        "import sys, accountant, accountant.commands\n"
        "print([m for m in ('scipy', 'rich', 'mpmath', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_script_at_the_root_starts_the_commands() -> None:
    script = Path(__file__).resolve().parents[1] / "cli.py"
    done = subprocess.run([sys.executable, script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0.1.0"
