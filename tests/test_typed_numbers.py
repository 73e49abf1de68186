"""Numbers as people type them, against fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accountant.numerics import PerN, parse_number, typed_count, typed_delta, typed_number

RAISED = str.maketrans("0123456789-", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b")


def powers(factor: str, power: int) -> list[str]:
    """Ways to write factor times ten to the power."""
    signs = [f"10^{power}", f"10^{{{power}}}", f"10^({power})", f"10**{power}", f"10{str(power).translate(RAISED)}"]
    times = ["*", " * ", "x", " \N{MULTIPLICATION SIGN} ", "\N{MIDDLE DOT}"]
    return [f"{factor}e{power}", *(f"{factor}{sign}{each}" for sign in times for each in signs)]


@settings(deadline=None)
@given(whole=st.integers(0, 10**6), places=st.integers(0, 6), power=st.integers(-20, 20))
def test_all_ways_to_write_a_number_are_the_nearest_double(whole: int, places: int, power: int) -> None:
    factor = str(whole) if places == 0 else f"{whole / 10**places:.{places}f}"
    exact = Fraction(factor) * Fraction(10) ** power
    for text in powers(factor, power):
        assert typed_number(text) == float(exact)
        assert typed_delta(text) == float(exact)
        assert parse_number(text).value == float(exact)
        if exact.denominator == 1:
            assert typed_count(text) == exact
        else:
            with pytest.raises(ValueError, match="a whole number"):
                typed_count(text)


@settings(deadline=None)
@given(power=st.integers(-300, 300))
def test_bare_powers_of_ten(power: int) -> None:
    for text in (f"10^{power}", f"10^{{{power}}}", f"10{str(power).translate(RAISED)}"):
        assert typed_number(text) == float(Fraction(10) ** power)


@settings(deadline=None)
@given(above=st.decimals(min_value=0, max_value=10**9, places=4), below=st.integers(1, 10**12))
def test_fractions(above: object, below: int) -> None:
    assert typed_number(f"{above}/{below}") == float(Fraction(str(above)) / below)


@settings(deadline=None)
@given(over=st.integers(1, 1000), n=st.integers(1, 10**9), power=st.integers(1, 9))
def test_delta_over_powers_of_n(over: int, n: int, power: int) -> None:
    for text in (
        f"{over}/n^{power}",
        f"{over}/n^{{{power}}}",
        f"{over}/n{str(power).translate(RAISED)}",
        f" {over} / n^{power}",
    ):
        made = typed_delta(text)
        assert isinstance(made, PerN)
        assert made.at(n) == float(Fraction(over, n**power))
    plain = typed_delta("1/n")
    assert isinstance(plain, PerN)
    assert plain.at(n) == 1 / n


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_python_prints_is_read_back(value: float) -> None:
    assert typed_number(repr(value)) == value


@settings(deadline=None)
@given(st.integers(1, 999))
def test_a_thousand_or_one_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} or {count}000, whichever is meant"):
        typed_count(f"{count}.000")
    assert typed_number(f"{count}.000") == count
    assert typed_count(f"{count}.0") == typed_count(f"{count}.000e0") == count
    for sign in (",", " ", "'", "\N{NO-BREAK SPACE}"):
        with pytest.raises(ValueError, match="without separators"):
            typed_count(f"{count}{sign}000")


@pytest.mark.parametrize(
    "text",
    ["", " ", "x", "nan", "inf", "-inf", "1_000", "0x10", "1e", "e5", "10^", "10^x", "10^{5", "10^5}", "10^(5}", "2x", "1//2",
     "1/2/3", "1/0", "1e400", "1e-400", "10^999", "--1", "1 2", "10^5^2", "0,5", "1" * 500, "n", "1/n"],
)  # fmt: skip
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match="a number"):
        typed_number(text)
    with pytest.raises(ValueError, match="whole number"):
        typed_count(text)
    if text != "1/n":
        with pytest.raises(ValueError, match="a number"):
            typed_delta(text)


def test_half_units_of_powers_are_those_of_the_exponent_form() -> None:
    for text in powers("2.9", -3):
        assert parse_number(text) == parse_number("2.9e-3")
    assert parse_number("10^{-5}") == parse_number("1e-5")
    assert math.isclose(parse_number("2.90*10^-3").half_unit, 5e-6)
