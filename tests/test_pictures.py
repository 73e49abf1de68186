"""The pictures of the pages are up to date, legible in grey, and as large as they are shown."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_rgb

from accountant import PNSGD, UnlearningAccountant, preset
from accountant.commands import drawings, page_compare, pictures
from accountant.methods import METHODS, noise_curve
from accountant.problem import Problem
from accountant.questions import Setup

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
DRAW = runpy.run_path(str(FOLDER / "draw.py"))


def same(one: Any, other: Any) -> bool:
    """Whether two drawings are of the same lines and numbers."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one is other if one is None or other is None else one == pytest.approx(other, rel=1e-6)


@pytest.fixture(scope="module", params=DRAW["PICTURES"])
def drawn(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return request.param, DRAW["PICTURES"][request.param]()


def test_pictures_show_what_is_computed_today(drawn: tuple[str, Any]) -> None:
    name, figure = drawn
    numbers = DRAW["numbers"](figure)
    assert sum(len(lines) for lines in numbers) >= 3
    assert same(DRAW["kept"](FOLDER / f"{name}.svg"), numbers), f"python docs/pictures/draw.py {name}"


def test_lines_are_told_apart_without_colours(drawn: tuple[str, Any]) -> None:
    for axes in drawn[1].axes:
        looks = [
            (repr(line._dash_pattern), line.get_marker(), line.get_markersize(), sum(to_rgb(line.get_markerfacecolor())) > 2.9)
            for line in axes.get_lines()
        ]
        assert len(set(looks)) == len(looks)


def test_pictures_are_as_wide_as_a_page(drawn: tuple[str, Any]) -> None:
    text = (FOLDER / f"{drawn[0]}.svg").read_text(encoding="utf-8")
    width = re.search(r'<svg [^>]*width="([\d.]+)pt"', text)
    assert width is not None
    assert 500 <= float(width[1]) <= 560


def test_every_picture_of_the_folder_is_drawn_by_the_program() -> None:
    assert {path.stem for path in FOLDER.glob("*.svg")} == set(DRAW["PICTURES"])


def test_the_noise_of_measured_rows_is_what_the_accountant_asks_for() -> None:
    checked = 0
    for row in DRAW["measured"]():
        if row.requests == 1 and row.method in {"optimal", "paper", "langevin", "d2d-exact"}:
            setup = Setup(PNSGD(preset("mnist"), row.batch_size))
            target = {"epsilon": row.epsilon, "delta": setup.default_delta, "steps": row.steps}
            needed = METHODS[row.method].needed(setup, **target).sigma
            assert float(needed) == pytest.approx(row.sigma, rel=1e-6), row
            checked += 1
    assert checked >= 24


def test_the_noise_in_the_table_of_secret_batches_is_what_the_accountant_asks_for() -> None:
    for name, rows in DRAW["accounted"]().items():
        bound, adjacency = name.split(", ")
        problem = Problem(**{**preset("mnist").to_dict(), "adjacency": adjacency})
        own = PNSGD(problem, 128, assignment="secret" if bound == "secret" else "partition")
        runs = UnlearningAccountant(own, bound="paper" if bound == "paper" else "optimal")
        for epsilon, sigma, _, _ in rows:
            assert float(runs.sigma(epsilon=epsilon, epochs=1)) == pytest.approx(sigma, rel=1e-3)


def test_pictures_are_in_the_problems_name() -> None:
    assert pictures.problem_name(preset("mnist")) == "MNIST 3 against 8"
    assert pictures.problem_name(Problem(**{**preset("mnist").to_dict(), "adjacency": "remove"})) == "MNIST 3 against 8"
    assert pictures.problem_name(Problem(n=77, smoothness=1.0)) == "n = 77"


def test_noise_a_million_times_off_is_left_out_of_pictures_and_pages_and_named(tmp_path: Path) -> None:
    setup, names = Setup(PNSGD(preset("mnist"), "full")), ["optimal", "newton", "rewind"]
    target = {"epsilon": 1.0, "delta": 1e-5}
    all_points = {name: noise_curve(setup, method=name, epochs=range(1, 11), **target) for name in names}
    drawings.comparison(tmp_path / "a.svg", "svg", setup, target, 1, names, [], 0.0)
    drawn = page_compare.noise_against_epochs(setup, target, 1, names)
    assert drawn is not None
    assert {series.name: len(series.x) for series in drawn.series} == {"optimal": 10, "newton": 2}
    least, most = min(all_points["optimal"][2]), max(all_points["optimal"][2])
    for series in drawn.series:
        shown = dict(zip(series.x, series.y, strict=True))
        for at, _, noise in zip(*all_points[series.name], strict=True):
            assert shown.get(at) == (noise if 1e-6 * least < noise < 1e6 * most else None)
    assert min(all_points["rewind"][2]) > 1e6 * most
    assert drawn.caption.endswith("Off the scale, a million times and more: rewind.")
    assert "rewind: off the scale" in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_a_line_that_moved_is_noticed() -> None:
    kept = DRAW["kept"](FOLDER / "noise.svg")
    name = next(iter(kept[0]))
    moved = [{**kept[0], name: [kept[0][name][0], [value * 1.00001 for value in kept[0][name][1]]]}]
    assert same(kept, kept)
    assert not same(kept, moved)
