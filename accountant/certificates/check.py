"""Verify an unlearning certificate without the program that wrote it: python check.py certificate.json [--public-key key.pem]

A certificate says that a model trained by noisy gradient descent over cyclic batches cannot, after some steps of unlearning, be
told from a retrained one: they are (epsilon, delta)-indistinguishable. This file alone decides whether that is proved. It needs
Python 3.11 and python-flint (and `cryptography` where a public key is given). In this order it verifies
 1. that the file has exactly the keys and types of the format, and that its texts are those that belong to its numbers;
 2. the witness. A step contracts distances by c = 1 - gap, gap = min(eta m, 2 - eta L). Steps are counted from the end, so what
    happens at step r weighs c^r at the release. Once every J steps (an "arrival") deleted points in a batch of B make a step
    differ by h = points * factor * eta M / B; step r shifts a_r of the distance away. If at every arrival r the weighted shifts
    still to come, A(<= r), cover the weighted differences still to come, S(<= r), then the distance ends at zero and the models
    are mu-GDP, mu^2 = sum of a_r^2 / (2 eta sigma^2). In a piece low <= r < high of the witness a_r = a c^(r - low);
 3. the result: delta(epsilon), averaged over the draw of the batches, and every epsilon, at both ends of its enclosure;
 4. the digests; and the signature, where a public key is given.
Numbers are exact fractions, or balls (intervals) sure to hold them. Exit: 0 valid, 1 refused, 2 it could not be checked."""
from __future__ import annotations

import base64
import hashlib
import json
import re
import reprlib
import sys
from collections.abc import Callable, Iterator
from functools import reduce
from itertools import accumulate, chain, zip_longest
from math import comb, prod
from typing import Any

try:
    from flint import arb, ctx, fmpq, fmpz_poly
except ImportError:
    if __name__ != "__main__":
        raise
    print("check.py needs python-flint (pip install python-flint)", file=sys.stderr)
    sys.exit(2)
LARGEST_FILE = 16 * 2**20  # bytes
MOST_PAIRS = 2**21  # of a placed batch and a piece, in the whole witness: bounds the time
PRECISIONS = (256, 512, 1024, 2048, 4096)  # bits: the next one is taken where a comparison is not certain
SHARE = 2**32  # a drawn mu is split between two grid points in multiples of 1/SHARE
KEY_PREFIX = bytes.fromhex("302a300506032b6570032100")  # precedes the 32 bytes of an Ed25519 key in a PEM file
PRESETS = {"preset mnist": {"n": 11264, "smoothness": "0.261264", "strong_convexity": "0.011264", "lipschitz": "1"},
           "preset cifar10": {"n": 9728, "smoothness": "0.259728", "strong_convexity": "0.009728", "lipschitz": "1"}}
# --- Structure. A shape is a dict (exactly these keys), a tuple (a list of that length), [shape], or a pattern of JSON text.
WHOLE, COUNT, TEXT, DIGEST = "0|[1-9][0-9]*", "[1-9][0-9]*", r'"[ !#-\[\]-~]*"', '"sha256:[0-9a-f]{64}"'
# nothing in the format is negative
NUMBER = r'(?=.{3,1002}$)("[0-9]+(\.[0-9]+)?(e[+-]?[0-9]{1,5})?"|"[0-9]+/0*[1-9][0-9]*")'
PAIR, TIME = (NUMBER, NUMBER), '"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"'
WORDS = {WHOLE: "a whole number", COUNT: "a whole number above 0", TEXT: "plain ASCII text", NUMBER: "a string with a number"}
CASES = [{"placed": [(WHOLE, COUNT, COUNT)], "pieces": [(WHOLE, "null|" + COUNT, NUMBER)], "mu": PAIR,
          "window": {"steps": "null|" + WHOLE, "start": '"common"|"diameter"|"given"'}}]
SHAPE = {
    "format": '"unlearning-certificate"', "version": "1", "statement": TEXT, "claim": {"epsilon": NUMBER, "delta": NUMBER},
    "problem": {"n": COUNT, "smoothness": NUMBER, "strong_convexity": NUMBER, "lipschitz": NUMBER,
                "adjacency": '"replace"|"zero-out"'},
    "algorithm": {"batch_size": COUNT, "last_batch": '"keep"|"drop"', "step_size": NUMBER, "radius": "null|" + NUMBER,
                  "sigma": NUMBER},
    "schedule": {"learn_epochs": "null|" + COUNT, "start_distance": "null|" + NUMBER},
    "requests": [{"points": COUNT, "steps": WHOLE}],
    "reference": '"matched"|"converged"|' + COUNT, "placement": rf'"random"|"worst"|{WHOLE}|\[({WHOLE})(, ({WHOLE}))*\]',
    "theorems": [{"use": TEXT, "source": TEXT}], "assumptions": [{"text": TEXT, "status": TEXT}], "limits": [TEXT],
    "constants": dict.fromkeys(["n", "smoothness", "strong_convexity", "lipschitz", "adjacency", "batch_size", "last_batch",
                                "sigma", "step_size", "radius", "learn_epochs", "start_distance", "reference", "epsilon",
                                "delta"], TEXT),
    "witness": {"kind": '"listed"|"drawn"', "older": [{"request": COUNT, "count": COUNT, "cases": CASES}],
                "newest": [{"weight": NUMBER, "count": COUNT, "cases": CASES}], "grid": {"step": NUMBER, "base": '"0"'}},
    "result": {"mu": PAIR, "delta": PAIR, "epsilon": PAIR, "curve": [{"delta": NUMBER, "epsilon": PAIR}]},
    "digests": {"inputs": DIGEST, "problem_file": "null|" + DIGEST, "content": DIGEST},
    "software": {"name": TEXT, "version": TEXT}, "time": TIME,
    "signature": {"algorithm": '"Ed25519"', "public_key": '"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="',  # base64 of 32 bytes
                  "value": '"[A-Za-z0-9+/]{85}[AQgw]=="'}}  # and of 64; spare bits are zero: no two texts mean the same
Placed = list[list[int]]  # [[lag, points, batch size], ...]
Entry = tuple[fmpq, int, list[Placed]]  # weight, count, and what is placed in each case

class Refused(Exception):  # noqa: N818
    """The certificate is not valid; the message is the reason."""

class Undecided(Exception):  # noqa: N818
    """A comparison is not certain at the precision in force."""

def show(value: object) -> str:
    """A value from the file, shortened and safe to print."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = 62
    text = short.repr(value).encode("ascii", "backslashreplace").decode()
    return text if len(text) <= 99 else text[:96] + "..."

def need(condition: bool, field: str, value: object, wanted: object) -> None:
    if not condition:
        raise Refused(f"{field} is {show(value)}, should be {wanted}")

def conform(value: Any, shape: Any, field: str) -> None:
    if isinstance(shape, str):
        right = re.fullmatch(shape, json.dumps(value, ensure_ascii=False)) is not None
        need(right, field, value, WORDS.get(shape.removeprefix("null|"), shape))
    elif isinstance(shape, dict) and not (value is None and field in ("witness.grid", "signature")):
        need(type(value) is dict and value.keys() == shape.keys(), field, value, "an object with the keys " + ", ".join(shape))
        for key in shape:
            conform(value[key], shape[key], f"{field}.{key}".removeprefix("certificate."))
    elif not isinstance(shape, dict):
        size = len(shape) if isinstance(shape, tuple) else None
        need(type(value) is list and size in (None, len(value)), field, value, f"a list of {size}" if size else "a list")
        for i, item in enumerate(value):
            conform(item, shape[i] if size else shape[0], f"{field}[{i}]")

def parse(data: bytes) -> Any:
    def whole(text: str) -> int:
        right = re.fullmatch("[0-9]{1,16}", text) is not None and int(text) <= 2**53
        need(right, "a JSON number", text, "a whole number up to 2^53 (others are strings)")
        return int(text)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        need(len(dict(pairs)) == len(pairs), "an object", [key for key, _ in pairs], "without a key that comes twice")
        return dict(pairs)

    need(len(data) <= LARGEST_FILE, "the length of the file", len(data), f"at most {LARGEST_FILE} bytes")
    try:
        hooks: dict[str, Any] = {"parse_int": whole, "parse_float": whole, "parse_constant": whole, "object_pairs_hook": once}
        cert = json.loads(data.decode("ascii"), **hooks)
    except (ValueError, RecursionError) as error:
        raise Refused(f"the file is not JSON in ASCII: {show(str(error))}") from None
    conform(cert, SHAPE, "certificate")
    return cert

# --- Numbers
def exact(text: str) -> fmpq:
    if "/" in text:
        return fmpq(*map(int, text.split("/")))
    mantissa, _, exponent = text.partition("e")
    whole, _, decimals = mantissa.partition(".")
    shift = int(exponent or 0) - len(decimals)
    return fmpq(int(whole + decimals) * 10 ** max(shift, 0), 10 ** max(-shift, 0))

def ball(text: str) -> arb:
    return arb(exact(text)) if "/" in text else arb(text)  # arb reads a decimal as a ball around it: cheap for any exponent

def certain(less: Any, more: Any) -> bool:
    """Whether less <= more. Balls that overlap decide nothing, and neither does nan, of which every comparison is false."""
    if less <= more or less > more:
        return bool(less <= more)
    raise Undecided

def decided(field: str, fact: Callable[[], Any]) -> Any:
    before = ctx.prec
    for ctx.prec in PRECISIONS:
        try:
            return fact()
        except Undecided:
            continue
        finally:
            ctx.prec = before
    raise Refused(f"{field} cannot be decided with {PRECISIONS[-1]} bits")

def encloses(pair: list[str], field: str, from_below: Callable[[arb], bool], from_above: Callable[[arb], bool]) -> None:
    """Nothing enclosed is negative: low = 0 needs no proof. [0, 1e-1000] is tight: for less there may be no tight enclosure."""
    def fact() -> None:
        low, high = ball(pair[0]), ball(pair[1])
        need(low == 0 or from_below(low), field, pair, "an enclosure: its low end is too high")
        need(from_above(high), field, pair, "an enclosure: its high end is too low")
        tight = (low == 0 and certain(high, arb("1e-1000"))) or certain(high - low, arb("1e-25") * high)
        need(tight, field, pair, "narrower: the enclosure is not tight")
    decided(field, fact)

class Powers:
    """c^r and sums of them, however near to 1 c = 1 - gap is and however large r; in balls, or (exact: small r) fractions."""
    def __init__(self, gap: fmpq, number: Callable[[str], Any] = ball) -> None:
        self.c, self.number, self.log = 1 - gap, number, None
        if number is ball and 0 < gap < 1:  # log1p keeps the digits of a small gap, log those of a small c
            self.log = arb(-gap).log1p() if 2 * gap < 1 else arb(self.c).log()
    def power(self, r: int) -> Any:
        if self.log is None:
            return int(self.c == 1 or r == 0) if self.c in (0, 1) else self.c**r  # 0^0 = 1
        return (r * self.log).exp()
    def total(self, count: int | None, stride: int) -> Any:
        """1 + c^stride + c^(2 stride) + ..., `count` terms; None: without end, only where c < 1."""
        if self.c == 1:
            return count
        if self.log is None:
            return fmpq(1 if count is None else 1 - self.power(count * stride)) / (1 - self.power(stride))
        return (1 if count is None else -(count * stride * self.log).expm1()) / -(stride * self.log).expm1()

# --- The inputs in exact numbers. Requests are counted from 0 here.
class Terms:
    def __init__(self, cert: Any) -> None:
        self.v = v = {**cert["problem"], **cert["algorithm"], **cert["schedule"], **cert["claim"]}
        v |= {name: cert[name] for name in ("reference", "placement")}
        for name in ("smoothness", "lipschitz", "step_size", "sigma", "radius", "delta"):
            need(v[name] is None or exact(v[name]) > 0, name, v[name], "above 0")
        smooth, convex, eta = (exact(v[name]) for name in ("smoothness", "strong_convexity", "step_size"))
        self.n, self.b, self.learned, self.reference = int(v["n"]), int(v["batch_size"]), v["learn_epochs"], v["reference"]
        need(convex <= smooth, "strong_convexity", v["strong_convexity"], "at most smoothness")
        need(eta * smooth <= 2, "step_size", v["step_size"], "at most 2/smoothness")
        need(self.b <= self.n, "batch_size", self.b, f"at most n = {self.n}")
        need(exact(v["delta"]) < 1, "claim.delta", v["delta"], "below 1")
        self.gap, self.variance = min(eta * convex, 2 - eta * smooth), 2 * eta * exact(v["sigma"]) ** 2
        self.change = (2 if v["adjacency"] == "replace" else 1) * eta * exact(v["lipschitz"])  # h of a point, times batch size
        left, keep = self.n % self.b, v["last_batch"] == "keep"
        self.short, self.dropped = (left, 0) if keep else (0, left)  # size of a smaller last batch; points that are never used
        self.batches = self.n // self.b + (self.short > 0)
        self.points, self.steps = ([int(request[name]) for request in cert["requests"]] for name in ("points", "steps"))
        need(0 < max(self.points, default=0) <= self.n, "requests", self.points, f"one or more, of at most n = {self.n} points")
        self.q, self.before = len(self.points), [0, *accumulate(self.steps)]  # before[s]: unlearning steps before request s
    def age(self, s: int) -> int:
        return self.before[-1] - self.before[s]
    def size(self, j: int) -> int:
        return self.short if self.short and j == self.batches - 1 else self.b
    def place(self, s: int, j: int, points: int) -> list[int]:
        """Batch j was last visited `lag` steps before the step that came just before unlearning for request s."""
        return [(self.before[s] - 1 - j) % self.batches, points, self.size(j)]
    def worst(self, s: int) -> list[Placed]:
        """One point, visited in the very last step or in the smaller batch: longer ago in a batch of one size is better."""
        short = self.place(s, self.batches - 1, 1)
        return [[short]] if self.short and short[0] == 0 else [[[0, 1, self.b]]] + [[short]] * (self.short > 0)
    def window_fits(self, steps: int | None, start: str) -> bool:
        """Whether both runs have these last steps (None: all) in common, and at most that distance before them."""
        learned = None if self.learned is None else self.learned * self.batches + self.age(0)
        counted, given = type(self.reference) is int, self.v["start_distance"] is not None
        if given or start == "given":
            return given and start == "given" and self.q == 1 and steps == self.age(0) and not counted
        if start == "common" and steps is None:  # finite matched learning too: the shifts of steps that never were are left out
            return self.gap > 0 and (self.reference == "matched" or (self.reference == "converged" and learned is None))
        if start == "common":
            return self.reference == "matched" and self.q == 1 and steps == learned
        again = self.reference * self.batches + self.age(0) % self.batches if counted else None  # both end at the same batch
        fits = steps is not None and all(steps <= limit for limit in (learned, again) if limit is not None)
        return self.v["radius"] is not None and self.q == 1 and fits

# --- Texts and origins: what a reader believes is what is proved.
def several(count: int, word: str) -> str:
    return f"{count} {word}" + "s" * (count != 1)

def statement(t: Terms) -> str:
    points, v, place = sum(t.points), t.v, t.v["placement"]
    subject, are = ("the deleted point", "is") if points == 1 else (f"the {points} deleted points", "are")
    change = {("replace", "is"): "replaced by another", ("zero-out", "is"): "left out, its batch's divisor kept",
              ("replace", "are"): "replaced by others", ("zero-out", "are"): "left out, their batches' divisors kept"}
    again = {"matched": "retraining from the same initial law for as many epochs",
             "converged": "retraining until its law no longer changes"}
    reference = again.get(t.reference) or f"retraining for {several(t.reference, 'epoch')}"
    order = {"worst": "whatever the batch order", "random": "averaged over the draw of the batch order" if t.q == 1 else
             "averaged over the batch of the last request's points, earlier requests at their worst"}
    where = "given the numbers of deleted points in the batches" if type(place) is list else order.get(
        place, f"given that {subject} {are} in batch {place}")
    return (f"After {several(t.q, 'request')} and {several(t.steps[-1], 'step')} of unlearning since the last, with noise "
            f"sigma = {v['sigma']}, the released model is ({v['epsilon']}, {v['delta']})-indistinguishable in both directions "
            f"from {reference} with {subject} {change[v['adjacency'], are]}, {where}.")

def theorems(cert: Any, t: Terms) -> list[dict[str, str]]:
    drawn = cert["witness"]["kind"] == "drawn"
    table = [("shifts a_k that bring the distance to zero prove mu^2 = sum (a_k/nu)^2",
              "Bok, Su & Altschuler 2024, arXiv 2403.00278 (shifted interpolation)", True),
             ("delta(epsilon) of mu-GDP", "Balle & Wang 2018, arXiv 1805.06530, Theorem 8", True),
             ("joint convexity of the hockey-stick divergence over the batch order",
              "Chien, Wang, Chen & Li 2024, arXiv 2403.17105", len(cert["witness"]["newest"]) > 1),
             ("mu of several points is at most the sum of their mu", "Dong, Roth & Su 2022, arXiv 1905.02383",
              sum(t.points) > 1 and (t.q > 1 or drawn)),
             ("drawing with replacement dominates for convex functions", "Hoeffding 1963, Theorem 4", drawn)]
    return [{"use": use, "source": source} for use, source, used in table if used]

def assumptions(t: Terms) -> list[dict[str, str]]:
    v, declared, checked, held = t.v, "declared by the user", "checked by the program", "holds by construction"
    convexity = f"{v['strong_convexity']}-strongly convex" if exact(v["strong_convexity"]) > 0 else "convex"
    batches = (f"one random partition into {t.batches} batches of {t.b}, visited in the same order in every epoch of learning "
               "and unlearning" + f" (the last of {t.short})" * (t.short > 0)
               + f"; {t.dropped} points are never used" * (t.dropped > 0))
    # a reference of a number of epochs needs converged learning too: short learning may start within the window, far away
    learning = ("learning has converged, or ran for any number of epochs from the initial law of retraining"
                if t.reference == "matched" else "learning has run until its law no longer changes")
    learning = learning if t.learned is None else f"learning ran {several(t.learned, 'epoch')}"
    given = f"the two models are at most {v['start_distance']} apart when unlearning starts"
    table = [(f"every point's loss is {v['smoothness']}-smooth and {convexity}", declared, True),
             (f"the data part of every per-sample gradient has norm at most {v['lipschitz']}, by construction or by clipping "
              "that keeps convexity and smoothness", declared, True),
             (f"every step uses all {t.n} points" if t.b == t.n else batches, declared, True),
             ("every step adds independent Gaussian noise of standard deviation sqrt(2 step_size) sigma to each coordinate, in "
              "exact arithmetic", declared, True),
             (f"every step projects on a ball of radius {v['radius']}", declared, v["radius"] is not None),
             (learning if v["start_distance"] is None else given, declared, True),
             ("requests do not depend on the batch order", declared, True),
             ("the batch order was drawn uniformly at random", declared, v["placement"] == "random"),
             ("0 < step_size <= 2/smoothness, so that one step contracts by 1 - min(step_size m, 2 - step_size L)", checked,
              True),
             ("the shifts in the witness bring every distance to zero", checked, True),
             ("delta at the claimed epsilon is at most the claimed delta", checked, True),
             ("earlier requests are taken at their worst placement", held, t.q > 1),
             ("the bound holds for every batch order", held, v["placement"] == "worst")]
    return [{"text": text, "status": status} for text, status, used in table if used]

def limits(t: Terms) -> list[str]:
    return ["The guarantee is about the released model alone: a model published before the deletion is outside of it.",
            "A deletion is a replacement or a zeroed gradient: the number of points and the batches stay.",
            "Averaged over the batch order; for one person whatever the order, placement worst is what holds."
            ][: 3 if t.v["placement"] == "random" else 2]

def check_texts(cert: Any, t: Terms) -> Iterator[str]:
    need(cert["statement"] == (wanted := statement(t)), "statement", cert["statement"], repr(wanted))
    for field, texts in (("assumptions", assumptions(t)), ("theorems", theorems(cert, t)), ("limits", limits(t))):
        for i, (have, want) in enumerate(zip_longest(cert[field], texts)):
            need(have == want, f"{field}[{i}]", have, want or "absent")
        yield f"{field}: the {len(texts)} that belong to these inputs"
    defaults = {"lipschitz": "1", "strong_convexity": "0", "adjacency": "replace", "batch_size": t.n, "last_batch": "keep",
                "radius": None, "learn_epochs": None, "start_distance": None, "reference": "matched"}
    proved, epsilon = exact(cert["result"]["epsilon"][0]), exact(t.v["epsilon"])
    special = {"default: 1/smoothness": ("step_size", exact(t.v["step_size"]) * exact(t.v["smoothness"]) == 1),
               "default: 1/n": ("delta", exact(t.v["delta"]) * t.n == 1),
               "smallest that is proved": ("epsilon", (epsilon - proved) * 10**9 <= epsilon)}
    def same(have: Any, want: Any) -> bool:
        numbers = all(type(x) is str and x[0].isdigit() for x in (have, want))
        return bool(exact(have) == exact(want) if numbers else have == want)
    for name, origin in cert["constants"].items():
        table = defaults if origin == "default" else PRESETS.get(origin, {})
        right = origin in ("given", "problem file") or (name in table and same(t.v[name], table[name]))
        need(right or special.get(origin) == (name, True), f"constants.{name}", origin, f"an origin of {show(t.v[name])}")
    yield "constants: defaults and presets are what the values say"

# --- The witness
def covers(case: Any, t: Terms, age: int, powers: Powers) -> bool:
    """In a piece A - S at the arrivals of one batch is concave in the sum of c^(2r): the first and the last of them suffice."""
    period, steps, start = t.batches, case["window"]["steps"], case["window"]["start"]
    firsts = [age + lag for lag, _, _ in case["placed"]]  # increasing, less than a period apart
    weights = [points * t.change / size * powers.power(age + lag) for lag, points, size in case["placed"]]
    up_to, paid = list(accumulate(weights)), powers.number("0")
    for low, high, text in case["pieces"]:
        scale = powers.number(text) * powers.power(low)
        for first, mine in zip(firsts, up_to, strict=True):
            begin = max(0, -((first - low) // period))
            last = begin if high is None else (high - 1 - first) // period
            for i in {begin, last} if begin <= last else ():  # by now it and those before it came i + 1 times, the others i
                owed = mine * powers.total(i + 1, period) + (up_to[-1] - mine) * powers.total(i, period)
                if not certain(owed, paid + scale * powers.total(first + i * period - low + 1, 2)):
                    return False
        paid += scale * powers.total(None if high is None else high - low, 2)
    distance = powers.number({"common": "0", "diameter": t.v["radius"], "given": t.v["start_distance"]}[start])
    owed = 0 if steps is None else (2 if start == "diameter" else 1) * distance * powers.power(steps)
    for first, weight in zip(firsts, weights, strict=True):
        owed += weight * powers.total(None if steps is None else max(0, -((first - steps) // period)), period)
    return certain(owed, paid)

def mu_of(cases: Any, t: Terms) -> arb:
    """The largest mu of some cases; 0 of none."""
    powers, largest = Powers(t.gap), arb(0)
    for case in cases:
        terms = (ball(a) ** 2 * powers.total(None if high is None else high - low, 2) for low, high, a in case["pieces"])
        largest = largest.max(sum(terms, arb(0)))
    return (largest / t.variance).sqrt()

def check_case(case: Any, placed: Placed, t: Terms, age: int, field: str) -> None:
    window, reached = case["window"], 0
    need(case["placed"] == placed, f"{field}.placed", case["placed"], f"{show(placed)}, by the placement")
    need(t.window_fits(**window), f"{field}.window", window, "one that schedule, reference and radius allow")
    for low, high, _ in case["pieces"]:
        need(low == reached and (high is None or high > low), f"{field}.pieces", [low, high], f"one that starts at {reached}")
        reached = high
    need(reached == window["steps"], f"{field}.pieces", reached, f"{window['steps']} (the window's steps) at their end")
    # no precision decides where both sides are equal: what is short enough is computed in fractions
    furthest = age + 2 * t.batches + max((r or 0 for piece in case["pieces"] for r in piece[:2]), default=0)
    bits = 0 if t.gap in (0, 1) else furthest * int(t.gap.q).bit_length()
    short = bits <= 2**13 and len(case["pieces"]) * (1 + len(placed)) <= 64
    covered = decided(f"{field}.pieces", lambda: covers(case, t, age, Powers(t.gap, exact if short else ball)))
    need(covered, f"{field}.pieces", [piece[2] for piece in case["pieces"]], "larger: they do not cover the differences")
    encloses(case["mu"], f"{field}.mu", lambda low: certain(low, mu_of([case], t)),
             lambda high: certain(mu_of([case], t), high))

def expected(t: Terms, witness: Any) -> tuple[int, Iterator[Entry]]:
    """What newest must be: how many entries, and the weight, the count and what is placed in the cases of each, one by one."""
    p, s, place, newest = t.points[-1], t.q - 1, t.v["placement"], witness["newest"]
    one, last = fmpq(1), t.batches - 1
    if place == "random" and (p == 1 or witness["kind"] == "drawn"):
        batches = ((fmpq(t.size(j), t.n), 1, [[t.place(s, j, 1)]]) for j in range(t.batches))
        never: list[Entry] = [(fmpq(t.dropped, t.n), 1, [])] * (t.dropped > 0)
        starts = {case["window"]["start"] for entry in newest for case in entry["cases"]}
        need(not never or starts == {"common"}, "placement", place, "worst: points are dropped, and the two runs start apart")
        return t.batches + len(never), chain(batches, never)
    if place == "worst" and t.q > 1:
        return 1, iter([(one, p, t.worst(s))])
    need(t.q == 1, "placement", place, "random (and drawn, for a group) or worst in a stream")
    if place == "random":
        need(t.dropped == 0 and p * t.n.bit_length() <= 2**14, "witness.kind", "listed", "drawn, for so many or dropped points")
        return len(newest), listed(newest, t, comb(t.n, p))
    if type(place) is int:
        need(place <= last and p <= t.size(place), "placement", place, f"a batch up to {last} with room for {p}")
        counts = [(place, p)]
    elif type(place) is list:
        need(len(place) == t.batches and sum(place) == p, "placement", place, f"{t.batches} numbers with the sum {p}")
        need(all(count <= t.size(j) for j, count in enumerate(place)), "placement", place, "at most the batch sizes")
        counts = [(j, place[j]) for j in range(last, -1, -1) if place[j]]
    else:
        need(p // t.b < MOST_PAIRS and p <= t.n - t.dropped, "requests", p, "fewer points, of those in batches")
        room, counts = p, []
        while room > 0:
            counts.append((last - len(counts), min(room, t.size(last - len(counts)))))
            room -= counts[-1][1]
    return 1, iter([(one, 1, [[t.place(s, j, count) for j, count in counts]])])

def listed(newest: Any, t: Terms, ways: int) -> Iterator[Entry]:
    """Each placement of a group once, with its probability: that none is left out, the sum of the weights shows."""
    seen: set[tuple[tuple[int, int], ...]] = set()
    for entry in newest:
        need(len(entry["cases"]) == 1, "witness.newest[].cases", entry["cases"], "a list of one")
        placed = entry["cases"][0]["placed"]
        counts = tuple((lag, count) for lag, count, _ in placed)
        lags = [lag for lag, _ in counts]
        right = lags == sorted(set(lags)) and all(lag < t.batches and n <= t.size(t.batches - 1 - lag) for lag, n in counts)
        right = right and sum(count for _, count in counts) == t.points[-1] and counts not in seen
        need(right, "witness.newest[].cases[].placed", placed, "another placement of all points, from the last batch back")
        seen.add(counts)
        wanted = [[lag, count, t.size(t.batches - 1 - lag)] for lag, count in counts]
        yield fmpq(prod(comb(size, count) for _, count, size in wanted), ways), 1, [wanted]

def check_witness(cert: Any, t: Terms) -> Iterator[str]:
    witness, kind, total = cert["witness"], cert["witness"]["kind"], fmpq(0)
    cases = [case for entry in witness["older"] + witness["newest"] for case in entry["cases"]]
    pairs = sum(len(case["placed"]) * len(case["pieces"]) for case in cases)
    need(pairs <= MOST_PAIRS, "witness", pairs, f"at most {MOST_PAIRS} pairs of a placed batch and a piece")
    drawable = t.v["placement"] == "random" and t.points[-1] > 1
    need(kind == "listed" or drawable, "witness.kind", kind, "listed, unless a group is placed at random")
    need((witness["grid"] is None) == (kind == "listed"), "witness.grid", witness["grid"], "null unless kind is drawn")
    older = ((fmpq(0), t.points[s], t.worst(s)) for s in range(t.q - 1))
    for group, (size, wanted) in {"older": (t.q - 1, older), "newest": expected(t, witness)}.items():
        need(len(witness[group]) == size, f"witness.{group}", len(witness[group]), f"{size} entries")
        told: list[tuple[arb, str]] = []
        for i, (entry, (weight, count, places)) in enumerate(zip(witness[group], wanted, strict=True)):
            field, total = f"witness.{group}[{i}]", total + weight
            need(entry.get("request", i + 1) == i + 1, f"{field}.request", entry.get("request"), i + 1)
            need("weight" not in entry or exact(entry["weight"]) == weight, f"{field}.weight", entry.get("weight"), weight)
            need(entry["count"] == count, f"{field}.count", entry["count"], count)
            need(len(entry["cases"]) == len(places), f"{field}.cases", len(entry["cases"]), f"{len(places)} cases")
            for k, (case, placed) in enumerate(zip(entry["cases"], places, strict=True)):
                check_case(case, placed, t, t.age(i if group == "older" else t.q - 1), f"{field}.cases[{k}]")
                mu = ball(case["mu"][1])
                told.append((mu.mid(), f"{field}.cases[{k}]: mu = {mu.str(12, radius=False)}, the shifts of "
                             f"{several(len(case['pieces']), 'piece')} cover [[lag, points, size], ...] = {show(placed)}"))
        mus = [mu for mu, _ in told]
        yield from (line for _, line in told[:8]) if len(told) <= 8 else [
            f"witness.{group}: {len(told)} cases, the shifts of each cover its differences; mu from "
            f"{min(mus).str(12, radius=False)} to {max(mus).str(12, radius=False)}"]
    need(total == 1, "witness.newest", total, "weights with the sum 1")

# --- The result
class Law:
    """What is known of the total mu of the released model, and the delta(epsilon) that follows."""
    def __init__(self, cert: Any, t: Terms) -> None:
        self.witness, self.t, self.known = cert["witness"], t, dict[int, list[arb]]()
        self.weights, self.drawn = [exact(entry["weight"]) for entry in self.witness["newest"]], self.witness["kind"] == "drawn"
        self.outcomes = self.draw() if self.drawn else []

    def draw(self) -> list[Any]:
        """The law of the sum of p independent mu, each split between grid points with no smaller mean: a polynomial's power."""
        p, text = self.t.points[-1], self.witness["grid"]["step"]
        need(exact(text) > 0, "witness.grid.step", text, "above 0")
        highs = [entry["cases"][0]["mu"][1] if entry["cases"] else "0" for entry in self.witness["newest"]]
        places = [exact(high) / exact(text) for high in highs]
        size = int(max(places).floor()) + 2
        right = p * size <= 400000 and p * size * p * (32 + self.t.n.bit_length()) <= 2**31  # outcomes, and bits of them all
        need(right, "witness.grid.step", text, "larger: there are too many outcomes")
        numbers = [0] * size
        for weight, place in zip(self.weights, places, strict=True):
            k, points = int(place.floor()), int(weight * self.t.n)
            share = int(((place - k) * SHARE).ceil())
            numbers[k] += points * (SHARE - share)
            numbers[k + 1] += points * share
        return list((fmpz_poly(numbers) ** p).coeffs())

    def mus(self) -> list[arb]:
        """Of the entries of newest; then, last, the sum of those of older. Kept for each precision."""
        if ctx.prec not in self.known:
            older, newest = ([entry["count"] * mu_of(entry["cases"], self.t) for entry in self.witness[group]]
                             for group in ("older", "newest"))
            self.known[ctx.prec] = [*newest, sum(older, arb(0))]
        return self.known[ctx.prec]

    def largest(self) -> arb:
        *mus, older = self.mus()
        return older + (self.t.points[-1] if self.drawn else 1) * reduce(arb.max, mus)

    def delta(self, epsilon: arb) -> tuple[arb, arb]:
        """delta(epsilon), and (drawn) what it may be called where outcomes of probability 1e-80 at either end were moved up."""
        *mus, older = self.mus()
        if not self.drawn:
            delta = sum((arb(w) * hockey_stick(epsilon, older + mu) for w, mu in zip(self.weights, mus, strict=True)), arb(0))
            return delta, delta
        step, root, law = ball(self.witness["grid"]["step"]), (2 * epsilon).sqrt(), self.outcomes
        at_root, slope = hockey_stick(epsilon, root), 1 / (2 * arb.pi()).sqrt()

        def convex(k: int) -> arb:
            """The hockey stick is convex in mu up to sqrt(2 epsilon) and below its tangent there from then on."""
            mu = older + k * step
            if mu > root:
                return at_root + (mu - root) * slope
            stick = hockey_stick(epsilon, mu)
            return stick if mu <= root else stick.union(at_root + (mu - root) * slope)

        total, low, high, below, above = (self.t.n * SHARE) ** self.t.points[-1], 0, len(law) - 1, 0, 0
        while below + law[low] <= total >> 2 * ctx.prec:  # ends too improbable to matter at this precision: bounded as a whole
            below, low = below + law[low], low + 1
        while above + law[high] <= total >> 2 * ctx.prec:
            above, high = above + law[high], high - 1
        most = convex(len(law) - 1)
        delta = sum((convex(k) * law[k] for k in range(low, high + 1) if law[k]), arb(0))
        delta = (delta + arb(0.5, 0.5) * (below * convex(low) + above * most)) / total  # arb(0.5, 0.5) is the ball [0, 1]
        return delta, delta + arb("2e-80") * most

def hockey_stick(epsilon: arb, mu: arb) -> arb:
    """Phi(-epsilon/mu + mu/2) - e^epsilon Phi(-epsilon/mu - mu/2). Digits that cancel come back with the precision."""
    if mu.is_zero():
        return arb(0)
    near, far = ((epsilon / mu + sign * mu / 2) / arb(2).sqrt() for sign in (-1, 1))
    return (near.erfc() - epsilon.exp() * far.erfc()) / 2

def check_result(cert: Any, t: Terms) -> Iterator[str]:
    law, result, claim = Law(cert, t), cert["result"], cert["claim"]
    encloses(result["mu"], "result.mu", lambda low: certain(low, law.largest()), lambda high: certain(law.largest(), high))
    yield f"largest mu = {ball(result['mu'][1]).str(12, radius=False)}"
    encloses(result["delta"], "result.delta", lambda low: certain(low, law.delta(ball(claim["epsilon"]))[1]),
             lambda high: certain(law.delta(ball(claim["epsilon"]))[0], high))
    need(exact(result["delta"][1]) <= exact(claim["delta"]), "result.delta", result["delta"], f"at most {claim['delta']}")
    yield f"delta({claim['epsilon']}) = {ball(result['delta'][1]).str(12, radius=False)} is at most {claim['delta']}"
    check_epsilon(law, result["epsilon"], "result.epsilon", claim["delta"])
    high, most = result["epsilon"][1], claim["epsilon"]
    need(exact(high) <= exact(most), "result.epsilon", result["epsilon"], f"at most {most}, the claim")
    yield f"epsilon({claim['delta']}) = {ball(result['epsilon'][1]).str(12, radius=False)} is at most {claim['epsilon']}"
    need(1 <= len(result["curve"]) <= 100, "result.curve", len(result["curve"]), "1 to 100 points")
    before = fmpq(0)
    for i, point in enumerate(result["curve"]):
        need(before < exact(point["delta"]) < 1, f"result.curve[{i}].delta", point["delta"], "above the one before it, below 1")
        check_epsilon(law, point["epsilon"], f"result.curve[{i}].epsilon", point["delta"])
        before = exact(point["delta"])
        yield f"curve: epsilon({point['delta']}) = {ball(point['epsilon'][1]).str(12, radius=False)}"

def check_epsilon(law: Law, pair: list[str], field: str, delta: str) -> None:
    encloses(pair, field, lambda low: certain(ball(delta), law.delta(low)[1]),
             lambda high: certain(law.delta(high)[0], ball(delta)))

# --- Digests and signature
def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

def check_digests(cert: Any) -> Iterator[str]:
    inputs = {name: cert[name] for name in ("claim", "problem", "algorithm", "schedule", "reference", "requests", "placement")}
    content = {**cert, "signature": None, "digests": {**cert["digests"], "content": ""}}
    for name, value in (("inputs", inputs), ("content", content)):
        digest = "sha256:" + hashlib.sha256(canonical(value)).hexdigest()
        need(cert["digests"][name] == digest, f"digests.{name}", cert["digests"][name], digest)
        yield f"digest of the {name}: {digest}"

def raw_key(text: bytes) -> bytes:
    """32 raw bytes, or base64 of them, or a PEM file."""
    try:
        lines = re.sub(b"-----(BEGIN|END) PUBLIC KEY-----", b"", text).split()
        raw = text if len(text) == 32 else base64.b64decode(b"".join(lines), validate=True)
    except ValueError:
        raw = b""
    if len(raw.removeprefix(KEY_PREFIX)) != 32:
        raise OSError("the public key is not one of Ed25519 (PEM, 32 raw bytes, or base64 of them)")
    return raw.removeprefix(KEY_PREFIX)

def check_signature(cert: Any, key: bytes | None) -> str:
    signature = cert["signature"]
    if key is None:
        return "signature: absent" if signature is None else "signature: present, not checked (no public key was given)"
    need(signature is not None, "signature", None, "present, as a public key was given")
    given = base64.b64encode(key).decode()
    need(signature["public_key"] == given, "signature.public_key", signature["public_key"], f"{given}, the key that was given")
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    signed = canonical({**cert, "signature": None})
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(base64.b64decode(signature["value"]), signed)
    except InvalidSignature:
        raise Refused(f"signature.value is {show(signature['value'])}, should be a signature of this content") from None
    return f"signature: made with the key {signature['public_key']}"

# --- What is called from outside
def read(path: str) -> bytes:
    with open(path, "rb") as file:
        data = file.read(LARGEST_FILE + 1)  # never more, of whatever kind the file is
    need(len(data) <= LARGEST_FILE, "the file", path, f"at most {LARGEST_FILE} bytes long")
    return data

def check(data: bytes, public_key: bytes | None = None) -> Iterator[str]:
    """One line for each verified fact; raises Refused at the first that fails."""
    key = None if public_key is None else raw_key(public_key)
    try:
        cert = parse(data)
        t = Terms(cert)
        yield f"structure: format 1, {several(t.q, 'request')}, batches per epoch: {t.batches}"
        yield f"contraction c = {arb(1 - t.gap).str(20, radius=False)} from step_size, smoothness and strong_convexity"
        yield from chain(check_texts(cert, t), check_witness(cert, t), check_result(cert, t), check_digests(cert))
        yield check_signature(cert, key)
    except (ValueError, ArithmeticError, TypeError, KeyError, IndexError, RecursionError, MemoryError) as error:
        raise Refused(f"malformed certificate: {type(error).__name__} {show(str(error))}") from error

def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    paths = given if "--public-key" not in given[:1] else given[2:] + given[:2]
    if len(paths) not in (1, 3) or paths[0].startswith("-") or paths[1:2] not in ([], ["--public-key"]):
        print("usage: check.py certificate.json [--public-key key.pem]", file=sys.stderr)
        return 2
    try:
        key, data = read(paths[2]) if paths[2:] else None, read(paths[0])
        for fact in check(data, key):
            print("ok  " + fact)
        print("valid: " + json.loads(data)["statement"])
        return 0
    except Refused as reason:
        print(f"REFUSED: {reason}")
        return 1
    except (OSError, ValueError, ImportError) as error:
        print(f"check.py could not check it: {error}", file=sys.stderr)
        return 2

if __name__ == "__main__":
    sys.exit(main())
