"""Backends whose trainer is somebody else's: what is declared is said to be, and what fails leaves all as it was."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ledger_commands import LINE, PEOPLE, PROBLEM, STEPS, check_end, commanded, log, people, trainer

from accountant import FineTuning, InputError, UnlearningAccountant, UnlearningStream
from accountant.ledger import Ledger, Plan, RunFailedError, Settings, backend_of, read_problem

BATCHED: dict[str, Any] = {
    "n": 60, "smoothness": 1.0, "strong_convexity": 0.02, "lipschitz": 1.0, "batch_size": 20, "step_size": 0.1, "radius": 5.0,
    "learn_epochs": 20, "sigma": 0.3, "epsilon": 1.0, "delta": 1e-3,
}  # fmt: skip


def kinds(ledger: Ledger) -> list[str]:
    return [entry.kind for entry in ledger.entries()]


def settings(folder: Path, backend: str = "command", **arguments: Any) -> Settings:
    model = str(trainer(folder))
    return Settings(model=model, key="k", subjects="s", certificates="c", backend=backend, arguments=arguments)


def test_a_command_answers_requests_as_planned_and_is_recorded_as_declared(tmp_path: Path, url: str | None) -> None:
    with commanded(tmp_path, url) as ledger:
        ledger.add([PEOPLE[3], PEOPLE[-2]])
        run = ledger.process(everything=True).run
        assert run is not None
        accountant = UnlearningAccountant(FineTuning(step_size=0.1, gradient_clip=1.0, start_clip=1.0))
        sigma = accountant.sigma(epsilon=1.0, delta=1e-4, steps=STEPS)
        intent = next(entry.content for entry in ledger.entries() if entry.kind == "intent")
        assert intent["declared"] is True
        assert (intent["plan"]["sigma"], intent["plan"]["points"]) == (sigma, 3)
        assert run.statement.startswith("As declared, not checked: ")
        saved = next(entry.content for entry in ledger.entries() if entry.kind == "saved")
        assert "declared by the operator: a command ran" in saved["assumptions"][0]
        (call,) = log(tmp_path)
        assert (call["rows"], call["steps"]) == ([1003, 1058, 1059], STEPS)
        assert call["mode"] & 0o777 == 0o600
        # The model is the one with noise: it moved from the clipped start by about sigma sqrt(steps).
        assert np.linalg.norm(np.load(tmp_path / "model.npz")["w"]) < 2 + 10 * sigma * math.sqrt(3 * STEPS)
        check_end(ledger, released=2, gone=(1003, 1058, 1059))


def test_requests_of_batches_pile_up_as_a_stream_has_them_and_begin_anew_after_a_refit(tmp_path: Path) -> None:
    again = f"{sys.executable} finetune.py --again --without {{file}}"
    arguments = {"problem": BATCHED, "steps": None, "refit": again}
    with commanded(tmp_path, arguments=arguments) as ledger:
        batched = {name: value for name, value in BATCHED.items() if name not in ("sigma", "epsilon", "delta")}
        target = {name: BATCHED[name] for name in ("sigma", "epsilon", "delta")}
        stream = UnlearningStream(_accountant(**batched), **target)
        for subject, points in ((PEOPLE[0], 1), (PEOPLE[-2], 2), (PEOPLE[1], 1)):
            ledger.add([subject])
            run = ledger.process(everything=True).run
            assert run is not None
            assert run.steps == stream.request(points)
        stated = json.loads(next(e.body for e in reversed(list(ledger.entries())) if e.kind == "released"))
        assert stated["epsilon"] == 1.0
        for number in range(2, 18):
            ledger.add([PEOPLE[number]])
        refit = ledger.refit().run
        assert refit is not None
        assert (refit.what, refit.epsilon) == ("refit", None)
        # What is left is a smaller problem, and nothing of the past counts.
        anew = UnlearningStream(_accountant(**{**batched, "n": 40}), **target)
        for number in (20, 21):
            ledger.add([PEOPLE[number]])
            run = ledger.process(everything=True).run
            assert run is not None
            assert run.steps == anew.request(1) < stream.planned(1).steps
        check_end(ledger, released=21, gone=(*range(1000, 1018), 1020, 1021, 1058, 1059))


def test_where_no_steps_are_needed_the_model_may_stay_as_it_is(tmp_path: Path) -> None:
    with commanded(tmp_path, be="same", arguments={"problem": BATCHED, "steps": None}) as ledger:
        ledger.add([PEOPLE[0]])
        run = ledger.process(everything=True).run
        assert run is not None
        assert run.steps == 0
        assert ledger.verify().findings == ()
        ledger.add([PEOPLE[1], PEOPLE[2]])
        with pytest.raises(RunFailedError, match="byte for byte"):
            ledger.process(everything=True)


def test_what_a_model_answered_before_the_ledger_began_counts(tmp_path: Path) -> None:
    batched = {name: value for name, value in BATCHED.items() if name not in ("sigma", "epsilon", "delta")}
    target = {name: BATCHED[name] for name in ("sigma", "epsilon", "delta")}
    stream = UnlearningStream(_accountant(**batched), **target)
    fresh = stream.planned(1).steps
    # Answered late and little, so that what they left matters.
    told = [[5, 3], [5, 3]]
    model = _accountant(**batched)
    other = UnlearningStream(model, **target)
    for points, steps in told:
        other.answer(points, steps)
    arguments = {"problem": BATCHED, "steps": None, "past": told}
    with commanded(tmp_path, arguments=arguments) as ledger:
        ledger.add([PEOPLE[0]])
        run = ledger.process(everything=True).run
        assert run is not None
        assert run.steps == other.request(1) > fresh
        ledger.add([PEOPLE[1]])
        run = ledger.process(everything=True).run
        assert run is not None
        assert run.steps == other.request(1)
        saved = next(entry.content for entry in ledger.entries() if entry.kind == "saved")
        assert "answered no request when this ledger began but those that past says" in saved["assumptions"][0]
        check_end(ledger, released=2, gone=(1000, 1001))


def _accountant(**values: Any) -> UnlearningAccountant:
    from accountant.questions import load

    return load(values).accountant


@pytest.mark.parametrize(
    ("be", "said"),
    [
        ("fail", "the command ended with exit code 3"),
        ("silent", "it wrote no model where it was told to"),
        ("same", "it gave the model before, byte for byte"),
        ("empty", "it wrote an empty file instead of a model"),
        ("folder", "made something else there"),
        ("overwrites", "it wrote no model where it was told to"),
        ("lies", f"the backend planned {STEPS} steps and ran {STEPS - 1}"),
        ("nonsense", "the steps that it reports must be a whole number"),
    ],
)
def test_a_command_that_fails_leaves_the_model_and_the_requests_as_they_were(tmp_path: Path, be: str, said: str) -> None:
    with commanded(tmp_path, be=be) as ledger:
        before = Path(ledger.settings.model).read_bytes()
        ledger.add([PEOPLE[3]])
        with pytest.raises(RunFailedError, match=said):
            ledger.process(everything=True)
        failed = [entry.content for entry in ledger.entries() if entry.kind == "failed"]
        assert said in failed[-1]["reason"]
        assert Path(ledger.settings.model).read_bytes() == before
        assert kinds(ledger)[-1] == "failed"
        check_end(ledger, released=0, waiting=1)


def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    with commanded(tmp_path, be="hang", timeout=3.0) as ledger:
        ledger.add([PEOPLE[3]])
        with pytest.raises(RunFailedError, match="given up after timeout = 3 seconds"):
            ledger.process(everything=True)
        check_end(ledger, released=0, waiting=1)
        assert _ended(log(tmp_path)[0]["pid"])


def test_a_worker_that_is_killed_takes_its_command_along_and_the_next_one_runs_again(tmp_path: Path, url: str | None) -> None:
    with commanded(tmp_path, url, be="hang") as ledger:
        ledger.add([PEOPLE[3], PEOPLE[4]])
    database = str(tmp_path / "deletions.db") if url is None else url
    code = "import sys; from accountant.ledger import Ledger; Ledger(sys.argv[1]).process(everything=True)"
    worker = subprocess.Popen([sys.executable, "-c", code, database])
    _until(lambda: bool(log(tmp_path)) or worker.poll() is not None)
    assert worker.poll() is None
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert _ended(log(tmp_path)[0]["pid"])
    (left,) = [path for path in tmp_path.iterdir() if ".run-" in path.name]
    assert left.stat().st_mode & 0o777 == 0o700
    assert (left / "rows.txt").read_text() == "1003\n1004\n"
    # What ran badly is mended by the operator; the ledger's constants stay.
    script = (tmp_path / "finetune.py").read_text()
    (tmp_path / "finetune.py").write_text(script.replace("time.sleep(600)", "pass"))
    with Ledger(database) as ledger:
        done = ledger.process()
        assert [run.requests for run in done.finished] == [(1, 2)]
        assert kinds(ledger).count("intent") == 2
        assert [call["rows"] for call in log(tmp_path)] == [[1003, 1004]] * 2
        check_end(ledger, released=2, gone=(1003, 1004))


def _until(true: Any) -> None:
    until = time.monotonic() + 120
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def _ended(process: int) -> bool:
    """Whether a process is gone, or will be in a moment."""
    for _ in range(400):
        try:
            if "Z" in Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]:
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (None, "run must be a command line, got nothing"),
        (7, "run must be a command line, got int"),
        ("", "run must be a command line, got ''"),
        ("python 'x {steps} {file}", "run must be a command line, as a shell has them: No closing quotation"),
        ("python x --steps {steps} {file", "run must be a command line, as a shell has them"),
        ("python x {steps} {file} {rows}", "run must have no places but {file}, {steps}, {sigma}, {model}, {output}"),
        ("python x {steps:3d} {file}", "run must have no places but"),
        ("python x {steps!r} {file}", "run must have no places but"),
        ("python x {} {steps} {file}", "run must have no places but"),
        ("python x {steps}", "run must say where {file} goes"),
        ("python x {file}", "run must say where {steps} goes"),
        ("no-such-program {steps} {file}", "run must begin with a program that can be run, got 'no-such-program'"),
    ],
)
def test_command_lines_that_cannot_run_are_refused_before_a_ledger_is_made(tmp_path: Path, line: Any, said: str) -> None:
    with pytest.raises(InputError) as refused:
        commanded(tmp_path, arguments={"run": line})
    assert said in str(refused.value)
    assert not (tmp_path / "deletions.db").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"problem": None}, "problem must be the algorithm's constants, as in a problem file, got nothing"),
        ({"problem": "problem.toml"}, "problem must be the algorithm's constants, as in a problem file, got str"),
        ({"problem": {**PROBLEM, "delta": None}}, "delta must be"),
        ({"problem": {k: v for k, v in PROBLEM.items() if k != "delta"}}, "delta must be given in the problem"),
        (
            {"problem": {k: v for k, v in PROBLEM.items() if k != "epsilon"}},
            "two of sigma, epsilon and steps must be given, got",
        ),
        (
            {"problem": {**PROBLEM, "sigma": 1.0}},
            "two of sigma, epsilon and steps must be given, got sigma and epsilon and steps",
        ),
        ({"problem": {k: v for k, v in PROBLEM.items() if k != "gradient_clip"}}, "gradient_clip must be given"),
        ({"problem": {**PROBLEM, "n": 5}}, "n must be left out"),
        ({"problem": {**PROBLEM, "epsilon": -1.0}}, "epsilon must be"),
        ({"problem": BATCHED}, "steps must be left out for noisy SGD on batches"),
        ({"problem": {k: v for k, v in BATCHED.items() if k != "sigma"}, "steps": None}, "sigma must be given in the problem"),
        ({"steps": 0}, "steps must be a whole number from 1, got 0"),
        ({"steps": "many"}, "steps must be"),
        ({"refit_steps": 0}, "refit_steps must be a whole number from 1"),
        ({"past": [[1, 20]]}, "past must be left out for fine-tuning: its requests do not pile up"),
        ({"past": [1, 20], "problem": BATCHED, "steps": None}, "past must be a list of [points, steps]"),
        ({"past": [[0, 20]], "problem": BATCHED, "steps": None}, "past must be a whole number from 1"),
        (
            {"stepps": 3},
            "arguments must be some of problem, steps, past, refit_steps, disclose_class, run, refit for backend command, got "
            "'stepps'",
        ),
        ({"refit": "python again.py"}, "refit must say where {file} goes"),
    ],
)
def test_constants_that_answer_no_request_are_refused_before_a_ledger_is_made(
    tmp_path: Path, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as refused:
        commanded(tmp_path, arguments=arguments)
    assert said in str(refused.value)
    assert not (tmp_path / "deletions.db").exists()


def test_a_target_out_of_reach_is_refused_before_a_ledger_is_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no number of"):
        commanded(tmp_path, arguments={"problem": {**PROBLEM, "sigma": 2.5}, "steps": None})
    assert not (tmp_path / "deletions.db").exists()


def test_rows_are_numbers_since_names_would_stand_in_a_file(tmp_path: Path) -> None:
    arguments = {"run": LINE, "problem": PROBLEM, "steps": STEPS}
    given = {**people(), "zoe": ["zoe@example.org"]}
    with pytest.raises(InputError, match="rows must be whole numbers for backend command, got str"):
        Ledger.create(tmp_path / "d.db", model=trainer(tmp_path), subjects=given, backend="command", arguments=arguments)
    with pytest.raises(InputError, match="subjects must be given with backend command"):
        Ledger.create(tmp_path / "d.db", model=trainer(tmp_path), backend="command", arguments=arguments)


def test_words_are_split_as_a_shell_does_and_no_shell_reads_them(tmp_path: Path) -> None:
    code = (
        "import sys,os; open('said.txt','w').write(repr(sys.argv[1:])); open(os.environ['ACCOUNTANT_OUTPUT'],'w').write('new')"
    )
    line = f"{sys.executable} -c \"{code}\" '$HOME; rm *' {{{{}}}} a{{steps}}b {{sigma}} {{model}} {{output}} {{file}}"
    with commanded(tmp_path, arguments={"run": line}) as ledger:
        ledger.add([PEOPLE[3]])
        assert ledger.process(everything=True).run is not None
        sigma = next(entry.content for entry in ledger.entries() if entry.kind == "intent")["plan"]["sigma"]
    words = eval((tmp_path / "said.txt").read_text())
    assert words[:4] == ["$HOME; rm *", "{}", f"a{STEPS}b", repr(sigma)]
    assert float(words[3]) == sigma
    assert [Path(word).name for word in words[4:]] == ["before.npz", "after.npz", "rows.txt"]
    assert (tmp_path / "model.npz").read_text() == "new"


def test_certificates_prove_the_declared_numbers(tmp_path: Path) -> None:
    pytest.importorskip("flint")
    with commanded(tmp_path) as ledger:
        ledger.add([PEOPLE[3]])
        run = ledger.process(everything=True).run
        assert run is not None
        assert run.certificate is not None
        made = json.loads((Path(ledger.settings.certificates) / f"{run.certificate}.json").read_text())
        assert (float(made["inputs"]["epsilon"]), int(made["inputs"]["steps"])) == (1.0, STEPS)
        assert ledger.verify(certificates=None).certificates == 1
        check_end(ledger, released=1, gone=(1003,))


def test_a_python_function_does_the_same(tmp_path: Path) -> None:
    arguments = {"call": "somebody:unlearn", "problem": PROBLEM, "steps": STEPS}
    (tmp_path / "somebody.py").write_text(
        "import numpy as np, finetune\n"
        "def unlearn(*, model, output, rows, steps, sigma):\n"
        "    data = np.load('data.npz'); stays = ~np.isin(data['ids'], rows)\n"
        "    X, y, ids = data['X'][stays], data['y'][stays], data['ids'][stays]\n"
        "    w = finetune.tuned(np.load(model)['w'], X, y, steps, sigma, np.random.default_rng())\n"
        "    finetune.saved(str(output), w=w); finetune.saved('data.npz', X=X, y=y, ids=ids)\n"
        "    return steps\n"
        "def short(*, model, output, rows, steps, sigma):\n"
        "    output.write_text('x'); return steps - 1\n"
        "def broken(**given):\n"
        "    raise ValueError(f'no {given[\"rows\"]}')\n"
        "number = 3\n"
    )
    model = trainer(tmp_path)
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        with Ledger.create(
            tmp_path / "deletions.db", model=model, subjects=people(), backend="python", arguments=arguments
        ) as ledger:
            ledger.add([PEOPLE[3]])
            bad = ledger.settings
            for name, said in (("short", "planned 20 steps and ran 19"), ("broken", "ValueError, whose message may name")):
                changed = {**bad.arguments, "call": f"somebody:{name}"}
                backend = backend_of(settings_with(bad, changed))
                with pytest.raises(RunFailedError, match=said):
                    ledger.process(backend, everything=True)
            assert ledger.process(everything=True).run is not None
            check_end(ledger, released=1, gone=(1003,))
    finally:
        os.chdir(here)


def settings_with(old: Settings, arguments: dict[str, Any]) -> Settings:
    from dataclasses import replace

    return replace(old, arguments=arguments)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (None, "call must be module:function, got nothing"),
        ("math", "call must be module:function, got 'math'"),
        (":x", "call must be module:function"),
        ("no_such_module:x", "call must name a module that can be imported"),
        ("math:no_such", "call must name a function of the module"),
        ("math:pi", "call must name a function, got 'math:pi', which is float"),
    ],
)
@pytest.mark.parametrize("backend", ["python", "torch"])
def test_entry_points_that_are_none_are_refused(tmp_path: Path, backend: str, call: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        backend_of(settings(tmp_path, backend, call=call, problem=PROBLEM, steps=STEPS))


def test_a_problem_file_is_what_the_shell_takes(tmp_path: Path) -> None:
    path = tmp_path / "problem.toml"
    path.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in PROBLEM.items()))
    assert read_problem(path) == PROBLEM
    path.write_text("stepsize = 3")
    with pytest.raises(InputError, match=r"key 'stepsize' in .* is unknown"):
        read_problem(path)


def test_a_plan_depends_on_nothing_but_numbers(tmp_path: Path) -> None:
    backend: Any = backend_of(settings(tmp_path, run=LINE, problem={**PROBLEM, "sigma": 5.0}))
    assert isinstance(backend.plan([1, 2]), Plan)
    assert backend.plan([1]).steps == backend.plan([5, 6, 7]).steps
    accountant = UnlearningAccountant(FineTuning(step_size=0.1, gradient_clip=1.0, start_clip=1.0))
    assert backend.plan([1]).steps == accountant.steps(sigma=5.0, epsilon=1.0, delta=1e-4)


def _shell(folder: Path, *words: str, code: int = 0) -> Any:
    from typer.testing import CliRunner

    from accountant.commands.program import app

    here = os.getcwd()
    os.chdir(folder)
    try:
        result = CliRunner().invoke(app, ["ledger", *words])
    finally:
        os.chdir(here)
    assert result.exit_code == code, result.output
    return result


def test_the_shell_takes_a_command_with_its_constants_in_a_file(tmp_path: Path) -> None:
    trainer(tmp_path)
    (tmp_path / "problem.toml").write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in PROBLEM.items()))
    (tmp_path / "subjects.csv").write_text(
        "subject,row\n" + "".join(f"{p},{r}\n" for p, rows in people().items() for r in rows)
    )
    begins = ["init", "--model", "model.npz", "--subjects", "subjects.csv", "--problem", "problem.toml"]
    for words, said in (
        (["--run", LINE, "--call", "a:b"], "call must be left out for backend command: it goes with python or torch"),
        (["--steps", "20"], "problem must be left out for backend estimator"),
        (["--backend", "command"], "run must be given for backend command"),
        (["--call", "a:b", "--public", "w"], "public must be left out for backend python: it goes with torch"),
        (["--run", LINE, "--backend", "commands"], "backend must be one of estimator, command, python, torch"),
    ):
        assert said in _shell(tmp_path, *begins, *words, code=2).stderr
    _shell(tmp_path, *begins, "--run", LINE, "--steps", "20", "--refit-run", LINE, "--refit-steps", "19")
    _shell(tmp_path, "add", "--subject", PEOPLE[3], "--subject", PEOPLE[4])
    seen = json.loads(_shell(tmp_path, "status", "--json").stdout)["outlook"]
    assert (seen["now"], seen["singly"], seen["saving_by_merging"], seen["refit"], seen["refit_cheaper"]) == (
        20,
        40,
        2,
        19,
        True,
    )
    assert "cheaper now: accountant ledger refit" in " ".join(_shell(tmp_path, "status").stdout.split())
    assert json.loads(_shell(tmp_path, "status", "--check", "--json").stdout)["outlook"] is None
    done = json.loads(_shell(tmp_path, "process", "--now", "--refit-when-cheaper", "--json").stdout)
    assert done["run"]["what"] == "refit"
    with Ledger(tmp_path / "deletions.db") as ledger:
        check_end(ledger, released=2, gone=(1003, 1004))


def test_the_shell_says_once_why_a_run_has_failed(tmp_path: Path) -> None:
    with commanded(tmp_path, be="lies") as ledger:
        ledger.add([PEOPLE[3]])
    assert _shell(tmp_path, "process", "--now", code=1).stderr == "Error: the backend planned 20 steps and ran 19\n"
