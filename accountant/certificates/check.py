"""Verify an unlearning certificate without the program that wrote it: python check.py certificate.json

A certificate says that a model trained by noisy gradient descent over cyclic batches cannot, after some steps of unlearning, be
told from a retrained one: they are (epsilon, delta)-indistinguishable. This file, which needs python-flint only, verifies
 1. that the file has exactly the keys and types of the format, and the texts that belong to its numbers;
 2. the witness. A step contracts distances by c = 1 - gap, gap = min(eta m, 2 - eta L). Steps are counted from the end, so what
    happens at step r weighs c^r at the release. Once every J steps (an "arrival") deleted points in a batch of B make a step
    differ by h = points * factor * eta M / B; step r shifts a_r of the distance away. If at every arrival r the weighted shifts
    still to come, A(<= r), cover the weighted differences still to come, S(<= r), then the distance ends at zero and the models
    are mu-GDP, mu^2 = sum of a_r^2 / (2 eta sigma^2). In a piece low <= r < high of the witness a_r = a c^(r - low);
 3. the result: delta(epsilon), averaged over the draw of the batches, and every epsilon, at both ends of its enclosure;
 4. the digests; a signature is left to `accountant check --public-key`. Numbers are exact fractions, or balls (intervals) sure
    to hold them. Exit code: 0 valid, 1 refused, 2 it could not be read."""
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache, lru_cache, reduce
from itertools import accumulate
from typing import Any

from flint import arb, ctx, fmpq

LARGEST_FILE, MOST_PAIRS = 2**24, 2**18  # bytes; pairs of a placed batch and a piece in the witness: they bound the time
PRECISIONS = (256, 512, 1024, 2048, 4096)  # bits: the next one is taken where a comparison is not certain
FIXED_TEXTS = "sha256:b3a1593ac6ee17a0d4b33171811981d482fa330404f60348368f2c4bbadae328"  # theorems, assumptions, limits
WORDS = {
    "replace": "replaced by others", "zero-out": "left out (the divisors of their batches kept)",
    "matched": "retraining from the same initial law for as many epochs", "converged": "retraining until its law is stable",
    "worst": "whatever the batch order", "random": "averaged over the draw of the batch order, earlier requests at their worst"}
# A shape is a dict (exactly these keys), a tuple (a list of that length), [shape] (a list), or a pattern of JSON text.
WHOLE, COUNT, TEXT, DIGEST = "0|[1-9][0-9]{0,14}", "[1-9][0-9]{0,14}", r'"[ !#-\[\]-~]*"', '"sha256:[0-9a-f]{64}"'
SHORT = r"0|[1-9][0-9]{0,20}|[1-9](\.[0-9]*[1-9])?e[+-][1-9][0-9]{0,4}"  # a number has one spelling; nothing is negative
NUMBER = rf'(?=.{{3,1002}}$)"({SHORT}|(?!0\.0{{6}})(0|[1-9][0-9]{{0,20}})\.[0-9]*[1-9]|[1-9][0-9]*/[1-9][0-9]*)"'
PAIR, INPUTS = (NUMBER, NUMBER), {
    "n": COUNT, "smoothness": NUMBER, "strong_convexity": NUMBER, "lipschitz": NUMBER, "adjacency": '"replace"|"zero-out"',
    "batch_size": COUNT, "last_batch": '"keep"|"drop"', "step_size": NUMBER, "radius": "null|" + NUMBER, "sigma": NUMBER,
    "learn_epochs": "null|" + COUNT, "start_distance": "null|" + NUMBER, "reference": '"matched"|"converged"|' + COUNT,
    "requests": [{"points": COUNT, "steps": WHOLE}], "epsilon": NUMBER, "delta": NUMBER,
    "placement": rf'"random"|"worst"|\[(\[({WHOLE}), {COUNT}\](, (?=\[)|(?=\]$)))+\]'}  # or [[batch, points], ...]
SHAPE = {
    "format": '"unlearning-certificate"', "version": "2", "statement": TEXT, "inputs": INPUTS,
    "origins": dict.fromkeys(INPUTS, TEXT), "theorems": [{"use": TEXT, "source": TEXT}],
    "assumptions": [{"text": TEXT, "status": TEXT}], "limits": [TEXT],
    "witness": [{"weight": NUMBER, "count": COUNT, "cases": [{
        "placed": [(WHOLE, COUNT, COUNT)], "steps": "null|" + WHOLE, "start": '"common"|"diameter"|"given"',
        "pieces": [(WHOLE, "null|" + COUNT, NUMBER)], "mu": PAIR}]}],
    "result": {"mu": PAIR, "delta": PAIR, "epsilon": PAIR, "curve": [{"delta": NUMBER, "epsilon": PAIR}]},
    "digests": {"inputs": DIGEST, "problem_file": "null|" + DIGEST, "content": DIGEST}, "software": TEXT,
    "time": '"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"', "signature": "null|" + TEXT}
class Refused(Exception):  # noqa: N818
    """The certificate is not valid; the message is the reason."""

def need(condition: bool, field: str, value: object, wanted: object) -> None:
    if not condition:
        raise Refused(f"{field} is {ascii(value)[:99]}, should be {wanted}")
def conform(value: Any, shape: Any, field: str) -> None:
    if isinstance(shape, str):
        need(re.fullmatch(shape, json.dumps(value, ensure_ascii=False)) is not None, field, value, shape)
    elif isinstance(shape, dict):
        need(type(value) is dict and value.keys() == shape.keys(), field, value, "an object with the keys " + ", ".join(shape))
        for key in shape:
            conform(value[key], shape[key], f"{field}.{key}")
    else:
        need(type(value) is list and (type(shape) is list or len(value) == len(shape)), field, value, "a list, or one as long")
        for i, item in enumerate(value):
            conform(item, shape[i if type(shape) is tuple else 0], f"{field}[{i}]")
# --- Numbers
def exact(text: str) -> fmpq:
    top, _, bottom = text.partition("/")
    mantissa, _, exponent = top.partition("e")
    whole, _, decimals = mantissa.partition(".")
    shift = int(exponent or 0) - len(decimals)
    value = fmpq(int(whole + decimals) * 10 ** max(shift, 0), int(bottom or 1) * 10 ** max(-shift, 0))
    need(not bottom or str(value) == text, "fraction", text, f"{value}, in lowest terms")
    return value
def ball(text: str) -> arb:
    return arb(exact(text)) if "/" in text else arb(text)  # arb reads a decimal as a ball around it: cheap for any exponent
def certain(less: Any, more: Any) -> bool:
    """Whether less <= more. Balls that overlap decide nothing, and neither does nan, of which every comparison is false."""
    if less <= more or less > more:
        return bool(less <= more)
    raise FloatingPointError("not certain at the precision in force")
def decided(field: str, fact: Callable[[], bool]) -> bool:
    for bits in PRECISIONS:
        with ctx.workprec(bits):
            try:
                return fact()
            except FloatingPointError:
                continue
    raise Refused(f"{field} cannot be decided with {PRECISIONS[-1]} bits")
def encloses(pair: list[str], field: str, order: Callable[[arb], tuple[arb, arb]]) -> str:
    """order(x) is (p, q), p <= q if x <= what is enclosed. That is never negative: low = 0 is sure, and [0, 1e-1000] tight."""
    def fact() -> bool:
        low, high = ball(pair[0]), ball(pair[1])
        need(low == 0 or certain(*order(low)), field, pair, "an enclosure: its low end is too high")
        need(certain(*order(high)[::-1]), field, pair, "an enclosure: its high end is too low")
        return (low == 0 and certain(high, arb("1e-1000"))) or certain(high - low, arb("1e-25") * high)
    need(decided(field, fact), field, pair, "narrower: the enclosure is not tight")
    return f"{field} is at most {pair[1]}"

# --- The inputs in exact numbers. Requests are counted from 0 here.
class Terms:
    def __init__(self, v: Any) -> None:
        for name in ("smoothness", "lipschitz", "step_size", "sigma", "radius", "delta"):
            need(v[name] is None or exact(v[name]) > 0, f"inputs.{name}", v[name], "above 0")
        smooth, convex, eta = (exact(v[name]) for name in ("smoothness", "strong_convexity", "step_size"))
        need(convex <= smooth, "inputs.strong_convexity", v["strong_convexity"], "at most smoothness")
        need(eta * smooth <= 2, "inputs.step_size", v["step_size"], "at most 2/smoothness")
        need(exact(v["delta"]) < 1, "inputs.delta", v["delta"], "below 1")
        self.v, self.n, self.b, self.learned, self.reference = v, v["n"], v["batch_size"], v["learn_epochs"], v["reference"]
        need(self.b <= self.n, "inputs.batch_size", self.b, f"at most n = {self.n}")
        self.gap, self.variance = min(eta * convex, 2 - eta * smooth), 2 * eta * exact(v["sigma"]) ** 2
        self.change = (2 if v["adjacency"] == "replace" else 1) * eta * exact(v["lipschitz"])  # h of a point, times batch size
        self.short, self.dropped = (self.n % self.b * (v["last_batch"] == kind) for kind in ("keep", "drop"))
        self.batches = self.n // self.b + (self.short > 0)  # a smaller last one, or dropped points, where b does not divide n
        self.points, self.steps = ([request[name] for request in v["requests"]] for name in ("points", "steps"))
        need(0 < sum(self.points) <= self.n, "inputs.requests", self.points, f"one or more, of at most n = {self.n} points")
        self.q, self.before = len(self.points), [0, *accumulate(self.steps)]  # before[s]: unlearning steps before request s
        self.age = [self.before[-1] - before for before in self.before]  # age[s]: steps from request s to the release
    def place(self, s: int, j: int, points: int) -> list[int]:
        """Batch j was last visited `lag` steps before the step that came just before unlearning for request s."""
        size = self.short if self.short and j == self.batches - 1 else self.b
        return [(self.before[s] - 1 - j) % self.batches, points, size]
    def worst(self, s: int) -> list[list[list[int]]]:
        """One point, visited in the very last step or in the smaller batch: longer ago in a batch of one size is better."""
        short = self.place(s, self.batches - 1, 1)
        return [[short]] if self.short and short[0] == 0 else [[[0, 1, self.b]]] + [[short]] * (self.short > 0)
    def fits(self, steps: int | None, start: str) -> bool:
        """Whether both runs have these last steps (None: all) in common, and at most that distance before them."""
        learned = None if self.learned is None else self.learned * self.batches + self.age[0]
        counted, given = type(self.reference) is int, self.v["start_distance"] is not None
        if given or start == "given":
            return given and start == "given" and self.q == 1 and steps == self.age[0] and not counted
        if start == "common" and steps is None:  # finite matched learning too: the shifts of steps that never were are left out
            return self.gap > 0 and (self.reference == "matched" or (self.reference == "converged" and learned is None))
        if start == "common":
            return self.reference == "matched" and self.q == 1 and steps == learned
        again = self.reference * self.batches + self.age[0] % self.batches if counted else None  # both end at the same batch
        within = steps is not None and all(steps <= limit for limit in (learned, again) if limit is not None)
        return self.v["radius"] is not None and self.q == 1 and within
    @lru_cache(16)  # noqa: B019
    def log(self, bits: int) -> arb:
        return arb(-self.gap).log1p() if 2 * self.gap < 1 else arb(1 - self.gap).log()  # keeps the digits of a small gap or c
    def power(self, r: int) -> arb:
        """c^r, however near to 1 c = 1 - gap is and however large r."""
        return arb(int(self.gap == 0 or r == 0)) if self.gap in (0, 1) else (r * self.log(ctx.prec)).exp()
    def total(self, count: int | None, stride: int) -> arb:
        """1 + c^stride + c^(2 stride) + ..., `count` terms; None: without end, only where c < 1."""
        if self.gap in (0, 1):
            return arb(count if self.gap == 0 else int(count != 0))
        return (1 if count is None else -(count * stride * self.log(ctx.prec)).expm1()) / -(stride * self.log(ctx.prec)).expm1()

def check_texts(cert: Any, t: Terms) -> str:
    v, place, more, texts = t.v, t.v["placement"], t.age[0] % t.batches, [cert["theorems"], cert["assumptions"], cert["limits"]]
    order = WORDS[place] if type(place) is str else f"given {place}, the [batch, points] of the deletion"
    again = WORDS.get(t.reference, f"retraining, from anywhere in the ball, for {t.reference} epochs and {more} steps")
    wanted = (f"After {t.steps[-1]} steps of unlearning since request {t.q}, the last one, with noise sigma = {v['sigma']}, "
              f"the released model is ({v['epsilon']}, {v['delta']})-indistinguishable in both directions from {again} with "
              f"{sum(t.points)} of {t.n} points {WORDS[v['adjacency']]}, {order}.")
    need(cert["statement"] == wanted, "statement", cert["statement"], repr(wanted))
    need(digest(texts) == FIXED_TEXTS, "theorems, assumptions, limits", digest(texts), f"those of format 2, {FIXED_TEXTS}")
    return "statement: belongs to these inputs; theorems, assumptions and limits: those of format 2"

# --- The witness
def covers(case: Any, t: Terms, age: int) -> bool:
    """In a piece A - S at the arrivals of one batch is concave in the sum of c^(2r): the first and the last of them suffice."""
    period, steps, paid = t.batches, case["steps"], arb(0)
    firsts = [age + lag for lag, _, _ in case["placed"]]  # increasing, less than a period apart
    weights = [points * t.change / size * t.power(age + lag) for lag, points, size in case["placed"]]
    up_to = list(accumulate(weights))
    for low, high, text in case["pieces"]:
        scale = ball(text) * t.power(low)
        for first, mine in zip(firsts, up_to, strict=True):
            begin = max(0, -((first - low) // period))
            last = begin if high is None else (high - 1 - first) // period
            for i in {begin, last} if begin <= last else ():  # by now it and those before it came i + 1 times, the others i
                owed = mine * t.total(i + 1, period) + (up_to[-1] - mine) * t.total(i, period)
                if not certain(owed, paid + scale * t.total(first + i * period - low + 1, 2)):
                    return False
        paid += scale * t.total(None if high is None else high - low, 2)
    start = {"common": "0", "diameter": t.v["radius"], "given": t.v["start_distance"]}[case["start"]]
    owed = arb(0) if steps is None else (2 if case["start"] == "diameter" else 1) * ball(start) * t.power(steps)
    for first, weight in zip(firsts, weights, strict=True):
        owed += weight * t.total(None if steps is None else max(0, -((first - steps) // period)), period)
    return certain(owed, paid)

def mu_of(cases: Any, t: Terms) -> arb:  # the largest of some cases, 0 of none
    squares = (sum((ball(a) ** 2 * t.total(None if high is None else high - low, 2) for low, high, a in case["pieces"]), arb(0))
               for case in cases)
    return (reduce(arb.max, squares, arb(0)) / t.variance).sqrt()

def expected(t: Terms, cases: Any) -> list[Any]:
    """Of the last request: the weight, the count, and what its cases place, of every entry that there must be."""
    p, s, place = t.points[-1], t.q - 1, t.v["placement"]
    if place == "random":
        need(p == 1, "inputs.placement", place, "worst, or [batch, points], for several points")
        right = not t.dropped or all(case["start"] == "common" for case in cases)
        need(right, "inputs.placement", place, "worst: points are dropped, and the two runs start apart")
        places = (t.place(s, j, 1) for j in range(t.batches))
        return [(fmpq(place[2], t.n), 1, [[place]]) for place in places] + [(fmpq(t.dropped, t.n), 1, [])] * (t.dropped > 0)
    if place == "worst" and t.q > 1:
        return [(1, p, t.worst(s))]
    need(t.q == 1, "inputs.placement", place, "random or worst in a stream")
    if place == "worst":  # as many as fit in the last batch, then in the one before it, and so on
        need(p <= t.n - t.dropped, "inputs.requests", p, "fewer points, of those in batches")
        ends = [0, *accumulate(t.place(s, j, 1)[2] for j in range(t.batches - 1, max(-1, t.batches - 3 - p // t.b), -1))]
        place = [[t.batches - 1 - i, min(p, end) - ends[i]] for i, end in enumerate(ends[1:]) if ends[i] < p][::-1]
    right = sorted({j for j, _ in place if j < t.batches}) == [j for j, _ in place] and sum(count for _, count in place) == p
    placed = [t.place(s, j, count) for j, count in place[::-1]]
    need(right and all(k <= b for _, k, b in placed), "inputs.placement", place, f"batches in order, for {p} points")
    return [(1, 1, [placed])]

def check_witness(witness: Any, t: Terms) -> Iterator[str]:
    cases = [case for entry in witness for case in entry["cases"]]
    pairs = sum(len(case["placed"]) * len(case["pieces"]) for case in cases)
    most = max(pairs, t.points[-1] // t.b, t.batches if t.v["placement"] == "random" else 0)
    need(most <= MOST_PAIRS, "witness", most, f"at most {MOST_PAIRS} pairs of a placed batch and a piece")
    wanted = [(1, t.points[s], t.worst(s)) for s in range(t.q - 1)] + expected(t, cases)
    need(len(witness) == len(wanted), "witness", len(witness), f"{len(wanted)} entries")
    for i, (entry, right) in enumerate(zip(witness, wanted, strict=True)):
        have = (exact(entry["weight"]), entry["count"], [case["placed"] for case in entry["cases"]])
        need(have == right, f"witness[{i}]: weight, count, what is placed in each case", have, right)
        for k, case in enumerate(entry["cases"]):
            yield check_case(case, t, t.age[min(i, t.q - 1)], f"witness[{i}].cases[{k}]")

def check_case(case: Any, t: Terms, age: int, field: str) -> str:
    steps, pieces = case["steps"], case["pieces"]
    need(t.fits(steps, case["start"]), f"{field}.steps", [steps, case["start"]], "what schedule, reference and radius allow")
    joined = [low for low, _, _ in pieces] + [steps] == [0] + [high for _, high, _ in pieces]
    right = joined and all(high is None or high > low for low, high, _ in pieces)
    need(right, f"{field}.pieces", pieces, f"pieces that follow one another from 0 to {steps}, the steps of the case")
    covered = decided(f"{field}.pieces", lambda: covers(case, t, age))
    need(covered, f"{field}.pieces", pieces, "larger: they do not cover the differences")
    return encloses(case["mu"], f"{field}.mu", lambda x: (x, mu_of([case], t)))

# --- The result
def law(witness: Any, t: Terms) -> tuple[Callable[[], arb], Callable[[arb], arb]]:
    """The largest mu of the released model, and its delta(epsilon) on average, by the precision in force."""
    @cache
    def outcomes(bits: int) -> list[tuple[arb, arb]]:
        mus = [entry["count"] * mu_of(entry["cases"], t) for entry in witness]
        older, newest = sum(mus[: t.q - 1], arb(0)), zip(witness[t.q - 1 :], mus[t.q - 1 :], strict=True)
        return [(ball(entry["weight"]), older + mu) for entry, mu in newest]
    def delta(epsilon: arb) -> arb:
        """Of each outcome Phi(-epsilon/mu + mu/2) - e^epsilon Phi(-epsilon/mu - mu/2); precision restores what cancels."""
        sums = arb(0)
        for weight, mu in outcomes(ctx.prec):
            near, far = (((epsilon / mu + sign * mu / 2) / arb(2).sqrt()).erfc() for sign in (-1, 1)) if mu != 0 else (0, 0)
            sums += weight * (near - epsilon.exp() * far) / 2
        return sums
    return lambda: reduce(arb.max, (mu for _, mu in outcomes(ctx.prec))), delta

def check_result(result: Any, claim: Any, largest: Callable[[], arb], delta: Callable[[arb], arb]) -> Iterator[str]:
    yield encloses(result["mu"], "result.mu", lambda x: (x, largest()))
    yield encloses(result["delta"], "result.delta", lambda x: (x, delta(ball(claim["epsilon"]))))
    need(len(result["curve"]) <= 100, "result.curve", len(result["curve"]), "at most 100 points")
    def epsilon(field: str, pair: list[str], at: str) -> str:
        need(0 < exact(at) < 1, f"{field}.delta", at, "above 0 and below 1")
        return encloses(pair, f"{field}.epsilon at delta = {at}", lambda x: (ball(at), delta(x)))
    yield epsilon("result", result["epsilon"], claim["delta"])
    yield from (epsilon(f"result.curve[{i}]", p["epsilon"], p["delta"]) for i, p in enumerate(result["curve"]))
    for name in ("epsilon", "delta"):
        need(exact(result[name][1]) <= exact(claim[name]), f"result.{name}", result[name], f"at most {claim[name]}, the claim")

def digest(value: Any) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

def check(data: bytes) -> Iterator[str]:  # a line for each verified fact; raises Refused at the first that fails
    try:
        need(len(data) <= LARGEST_FILE, "the length of the file", len(data), f"at most {LARGEST_FILE} bytes")
        once = lambda pairs: dict(pairs) if len(dict(pairs)) == len(pairs) else 'a key "twice"'  # noqa: E731
        cert = json.loads(data.decode("ascii"), object_pairs_hook=once)
        conform(cert, SHAPE, "certificate")
        t = Terms(cert["inputs"])
        yield f"structure: format 2; {t.batches} batches; contraction c = {arb(1 - t.gap).str(20, radius=False)}"
        yield check_texts(cert, t)
        yield from check_witness(cert["witness"], t)
        yield from check_result(cert["result"], cert["inputs"], *law(cert["witness"], t))
        content = cert | {"signature": None, "digests": cert["digests"] | {"content": ""}}
        for name, value in {"inputs": cert["inputs"], "content": content}.items():
            need(cert["digests"][name] == digest(value), f"digests.{name}", cert["digests"][name], digest(value))
            yield f"digest of the {name}: {cert['digests'][name]}"
    except (ValueError, ArithmeticError, TypeError, KeyError, IndexError, RecursionError, MemoryError) as error:
        raise Refused(f"malformed certificate: {type(error).__name__} {ascii(str(error))[:99]}") from error

if __name__ == "__main__":
    try:
        with open(sys.argv[1], "rb") as file:
            content = file.read(LARGEST_FILE + 1)  # never more, of whatever kind the file is
        for fact in check(content):
            print("ok  " + fact)
        print("valid: " + json.loads(content)["statement"])
    except Refused as reason:
        print(f"REFUSED: {reason}")
        sys.exit(1)
    except (OSError, IndexError) as error:
        print(f"usage: python check.py certificate.json ({error})", file=sys.stderr)
        sys.exit(2)
