"""Verify an unlearning certificate without the program that wrote it: python check.py certificate.json
A certificate says that a model trained by noisy gradient descent over cyclic batches cannot, after some steps of unlearning, be
told from a retrained one: they are (epsilon, delta)-indistinguishable. Batches are those of a partition (format 2), or every
record draws its own in secret (3), or both models go the same noisy steps (4). This file needs python-flint only, and verifies
 1. that the file has exactly the keys and types of the format, and the texts that belong to its numbers;
 2. the witness. A step contracts distances by c = 1 - gap, gap = min(eta m, 2 - eta L). Steps are counted from the end, so what
    happens at step r weighs c^r at the release. Once every J steps (an "arrival") deleted points in a batch of B make a step
    differ by h = points * factor * eta M / B; step r shifts a_r of the distance away. If at every arrival r the weighted shifts
    still to come, A(<= r), cover the weighted differences still to come, S(<= r), then the distance ends at zero and the models
    are mu-GDP, mu^2 = sum of a_r^2 / (2 eta sigma^2). In a piece low <= r < high of the witness a_r = a c^(r - low);
 3. the result: delta(epsilon), averaged over the draw of the batches, and every epsilon, at both ends of its enclosure. In 3:
    the divergence of P = the average of N(mu_j, 1) from R = N(0, 1) (N(-mu_k, 1), averaged over k, where stand-ins come), the
    larger of both directions, and what batches cost that are too large for a step to contract. In 4: contraction by blocks;
 4. the digests; a signature is left to `accountant check --public-key`. Numbers are exact fractions, or balls (intervals) sure
    to hold them. Exit code: 0 valid, 1 refused, 2 it could not be read."""
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, lru_cache, reduce
from itertools import accumulate
from typing import Any

from flint import arb, ctx, fmpq

# What bounds the time: bytes; placed batches times pieces; terms of a tail, and of all points pairs of components, or blocks.
LARGEST_FILE, MOST_PAIRS, MOST_TERMS = 2**24, 2**18, 2**18
PRECISIONS = (256, 512, 1024, 2048, 4096)  # bits: the next one is taken where a comparison is not certain
FIXED_TEXTS = {2: "sha256:b3a1593ac6ee17a0d4b33171811981d482fa330404f60348368f2c4bbadae328",  # theorems, assumptions, limits
    3: "sha256:ea12b9d5550956eef3909e98b7da7352ea63ef4d1d7f11d047b1fc3ee901a423",
    4: "sha256:d95f02f3e7f0eb1f0646161b59a8fdb7941dd45f0eac210a8d9e69221aa23e26"}
WORDS = {"replace": "replaced by others", "zero-out": "left out (the divisors of their batches kept)",
    "matched": "retraining from the same initial law for as many epochs", "converged": "retraining until its law is stable",
    "clipped": "retraining without the deleted records (or a public initialisation), clipped alike",
    "worst": "whatever the batch order", "random": "averaged over the draw of the batch order, earlier requests at their worst"}
OWN = {  # of own draws, with which a reference is the same history without the deleted records
    "remove": "", "replace": ", others that draw for themselves in their place", "worst": "whatever the deleted records drew",
    "random": "averaged over the secret draw of the record deleted last, earlier ones at their worst"}
# A shape: a dict (exactly these keys), a tuple (a list of that length; None first: or null), [shape] (a list), a JSON pattern.
WHOLE, COUNT, TEXT, DIGEST = "0|[1-9][0-9]{0,14}", "[1-9][0-9]{0,14}", r'"[ !#-\[\]-~]*"', '"sha256:[0-9a-f]{64}"'
SHORT = r"0|[1-9][0-9]{0,20}|[1-9](\.[0-9]*[1-9])?e[+-][1-9][0-9]{0,4}"  # a number has one spelling; nothing is negative
NUMBER = rf'(?=.{{3,1002}}$)"({SHORT}|(?!0\.0{{6}})(0|[1-9][0-9]{{0,20}})\.[0-9]*[1-9]|[1-9][0-9]*/[1-9][0-9]*)"'
SIGNED, OR_NONE = NUMBER.replace('"(', '"-?(', 1), "null|"
PAIR, INPUTS = (NUMBER, NUMBER), {
    "n": COUNT, "smoothness": NUMBER, "strong_convexity": NUMBER, "lipschitz": NUMBER, "adjacency": '"replace"|"zero-out"',
    "batch_size": COUNT, "last_batch": '"keep"|"drop"', "step_size": NUMBER, "radius": "null|" + NUMBER, "sigma": NUMBER,
    "learn_epochs": "null|" + COUNT, "start_distance": "null|" + NUMBER, "reference": '"matched"|"converged"|' + COUNT,
    "requests": [{"points": COUNT, "steps": WHOLE}], "epsilon": NUMBER, "delta": NUMBER,
    "placement": rf'"random"|"worst"|\[(\[({WHOLE}), {COUNT}\](, (?=\[)|(?=\]$)))+\]'}  # or [[batch, points], ...]
SHAPE: dict[str, Any] = {"format": '"unlearning-certificate"', "version": "2", "statement": TEXT, "inputs": INPUTS,
    "origins": dict.fromkeys(INPUTS, TEXT), "theorems": [{"use": TEXT, "source": TEXT}],
    "assumptions": [{"text": TEXT, "status": TEXT}], "limits": [TEXT],
    "witness": [{"weight": NUMBER, "count": COUNT, "cases": [{
        "placed": [(WHOLE, COUNT, COUNT)], "steps": "null|" + WHOLE, "start": '"common"|"diameter"|"given"',
        "pieces": [(WHOLE, "null|" + COUNT, NUMBER)], "mu": PAIR}]}],
    "result": {"mu": PAIR, "delta": PAIR, "epsilon": PAIR, "curve": [{"delta": NUMBER, "epsilon": PAIR}]},
    "digests": {"inputs": DIGEST, "problem_file": "null|" + DIGEST, "content": DIGEST}, "software": TEXT,
    "time": '"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"', "signature": "null|" + TEXT}
# Format 3. signs: [end, x1, x2, y1, y2] of each class of outer components, see `law_of_draws`.
SIGNS = [(COUNT, SIGNED, OR_NONE + SIGNED, OR_NONE + SIGNED, SIGNED)]
DRAWN = {key: shape for key, shape in INPUTS.items() if key != "last_batch"} | {
    "adjacency": '"remove"|"replace"', "assignment": '"secret"', "largest_n": COUNT, "redraw": "true|false"}
RESULT = {"mu": PAIR, "paid": PAIR, "delta": PAIR, "delta_signs": SIGNS, "epsilon": PAIR, "epsilon_signs": SIGNS,
          "curve": [{"delta": NUMBER, "epsilon": PAIR, "signs": SIGNS}]}
CLIPS = "gradient_clip", "start_clip", "model_clip", "start_distance"  # format 4
STEPS = dict.fromkeys(("step_size", "weight_decay", "sigma", "epsilon", "delta"), NUMBER) | dict.fromkeys(
    CLIPS, OR_NONE + NUMBER) | {"algorithm": '"fine-tuning"', "start": '"clipped"|"centre"', "clip_first": "true|false"} | {
    "steps": COUNT}
SHAPES: dict[int, Any] = {2: SHAPE, 3: SHAPE | {
    "version": "3", "inputs": DRAWN, "origins": dict.fromkeys(DRAWN, TEXT), "result": RESULT}, 4: SHAPE | {"version": "4",
    "inputs": STEPS, "origins": dict.fromkeys(STEPS, TEXT), "result": SHAPE["result"] | {"mu": (None, *PAIR)},
    "witness": [{"blocks": COUNT, "steps": COUNT, "shift": NUMBER}]}}
class Refused(Exception):  # noqa: N818
    """The certificate is not valid; the message is the reason."""
def need(condition: bool, field: str, value: object, wanted: object) -> None:
    if not condition:
        raise Refused(f"{field} is {ascii(value)[:99]}, should be {wanted}")
def conform(value: Any, shape: Any, field: str) -> None:
    shape = ("null" if value is None else shape[1:]) if type(shape) is tuple and shape[0] is None else shape
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
    shift = int(exponent or 0) - len(mantissa.partition(".")[2])
    value = fmpq(int(mantissa.replace(".", "")) * 10 ** max(shift, 0), int(bottom or 1) * 10 ** max(-shift, 0))
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
        with ctx.workprec(bits), suppress(FloatingPointError):
            return fact()
    raise Refused(f"{field} cannot be decided with {PRECISIONS[-1]} bits")
def encloses(pair: list[str], field: str, order: Callable[[arb, bool], tuple[arb, arb]]) -> str:
    """order(x, up) is (p, q), p <= q if x <= what is enclosed (never < 0), p >= q (up) if x >= it. [0, 1e-1000] is tight."""
    def fact() -> bool:
        low, high = ball(pair[0]), ball(pair[1])
        need(low == 0 or certain(*order(low, False)), field, pair, "an enclosure: its low end is too high")
        need(certain(*order(high, True)[::-1]), field, pair, "an enclosure: its high end is too low")
        return (low == 0 and certain(high, arb("1e-1000"))) or certain(high - low, arb("1e-25") * high)
    need(decided(field, fact), field, pair, "narrower: the enclosure is not tight")
    return f"{field} is at most {pair[1]}"
# --- The inputs in exact numbers. Requests are counted from 0 here.
class Terms:
    def __init__(self, v: Any) -> None:
        smooth, convex, eta = (exact(v[name]) for name in ("smoothness", "strong_convexity", "step_size"))
        need(convex <= smooth, "inputs.strong_convexity", v["strong_convexity"], "at most smoothness")
        need(eta * smooth <= 2, "inputs.step_size", v["step_size"], "at most 2/smoothness")
        self.own, self.unit = "assignment" in v, "batches"  # own: every record draws its batch by itself; the divisor is b
        self.v, self.n, self.b, self.learned, self.reference = v, v["n"], v["batch_size"], v["learn_epochs"], v["reference"]
        need(self.b <= self.n, "inputs.batch_size", self.b, f"at most n = {self.n}")
        self.gap = eta * convex if self.own else min(eta * convex, 2 - eta * smooth)
        need(self.gap <= 1, "inputs.step_size", v["step_size"], "at most 1/strong_convexity")
        most = None if smooth == convex or not self.own else self.b * (2 / eta - 2 * convex) / (smooth - convex)
        self.limit = most if most is None else int(most.floor())  # other records with which a step contracts so; None: any
        factor = 2 if v["adjacency"] == "replace" and not self.own else 1  # of own draws leaver and stand-in change a step each
        self.change, self.variance = factor * eta * exact(v["lipschitz"]), 2 * eta * exact(v["sigma"]) ** 2  # h b
        self.short, self.dropped = (self.n % self.b * (v.get("last_batch") == kind) for kind in ("keep", "drop"))
        self.batches = -((self.dropped - self.n) // self.b)  # a smaller last one, or dropped points, where b does not divide n
        self.points, self.steps = ([request[name] for request in v["requests"]] for name in ("points", "steps"))
        need(0 < sum(self.points) <= self.n, "inputs.requests", self.points, f"one or more, of at most n = {self.n} points")
        self.q, self.before = len(self.points), [0, *accumulate(self.steps)]  # before[s]: unlearning steps before request s
        self.age = [self.before[-1] - before for before in self.before]  # age[s]: steps from request s to the release
        self.stand_in = self.own and v["adjacency"] == "replace"
        most = self.n + (sum(self.points) - 1) * self.stand_in  # the leavers, and the stand-ins but one: `others` counts it
        if self.own and v["redraw"]:
            need(not self.stand_in and self.limit is not None, "inputs.redraw", True, "false: a stand-in joins, or any will do")
            need(v["largest_n"] == self.n, "inputs.largest_n", v["largest_n"], f"n = {self.n}: with redraw no record joins")
        need(not self.own or v["largest_n"] >= most, "inputs.largest_n", v.get("largest_n"), f"at least {most}")
        self.others = v.get("largest_n", 1) - (not self.stand_in)  # records that may lie in the batch of one that leaves
    def place(self, s: int, j: int, points: int) -> list[int]:  # batch j's lag, when unlearning for request s begins
        size = self.short if self.short and j == self.batches - 1 else self.b
        return [(self.before[s] - 1 - j) % self.batches, points, size]
    def worst(self, s: int) -> list[list[list[int]]]:  # a point, visited in the very last step or in the smaller batch
        short = self.place(s, self.batches - 1, 1)
        return [[short]] if self.short and short[0] == 0 else [[[0, 1, self.b]]] + [[short]] * (self.short > 0)
    def fits(self, steps: int | None, start: str) -> bool:  # whether both runs have the steps (None: all), and start so near
        learned = None if self.learned is None else self.learned * self.batches + self.age[0]
        matched, counted, given = self.reference == "matched", type(self.reference) is int, self.v["start_distance"] is not None
        alike = matched or (self.reference == "converged" and learned is None)
        if self.own and (sum(self.points) > 1 or self.stand_in):  # shifts of several records add up where nothing caps them
            alike = alike and not given and start == "common"
            return alike and (self.gap > 0 if steps is None else self.q == 1 and steps == learned)
        if given or start == "given":
            return given and start == "given" and self.q == 1 and steps == self.age[0] and not counted
        if start == "common":  # None: finite matched learning too, the shifts of steps that never were are left out
            return self.gap > 0 and alike if steps is None else matched and self.q == 1 and steps == learned
        again = self.reference * self.batches + self.age[0] % self.batches if counted else None  # both end at the same batch
        within = steps is not None and all(steps <= limit for limit in (learned, again) if limit is not None)
        return self.v["radius"] is not None and self.q == 1 and within
    @lru_cache(16)  # noqa: B019
    def log(self, bits: int) -> arb:
        return arb(-self.gap).log1p() if 2 * self.gap < 1 else arb(1 - self.gap).log()  # keeps the digits of a small gap or c
    def power(self, r: int) -> arb:  # c^r, however near to 1 c = 1 - gap is and however large r
        return arb(int(self.gap == 0 or r == 0)) if self.gap in (0, 1) else (r * self.log(ctx.prec)).exp()
    def total(self, count: int | None, stride: int) -> arb:  # 1 + c^stride + c^(2 stride) + ..., so many terms; None: all
        if self.gap in (0, 1):
            return arb(count if self.gap == 0 else int(count != 0))
        return (1 if count is None else -(count * stride * self.log(ctx.prec)).expm1()) / -(stride * self.log(ctx.prec)).expm1()
class Steps(Terms):
    """Format 4. A step takes models z apart to at most (1 - gap) z + change; in the ball of model_clip they are at most `whole`
    apart. arrives: how far apart at most when a block's first noise comes, of the first block and of one from anywhere."""
    def __init__(self, v: Any) -> None:
        clip, start, radius, given = (v[name] and exact(v[name]) for name in CLIPS)
        self.v, self.own, self.limit, self.batches, self.unit, eta = v, False, None, v["steps"], "steps", exact(v["step_size"])
        self.gap, self.variance, whole = eta * exact(v["weight_decay"]), exact(v["sigma"]) ** 2, radius and 2 * radius
        need(self.gap <= 1, "inputs.weight_decay", v["weight_decay"], "at most 1/step_size")
        need((radius if v["clip_first"] else clip) is not None, "inputs", v, "with gradient_clip, or model_clip and clip_first")
        self.change = whole if clip is None else 2 * eta * clip
        given = given if given is not None or start is None else start * (2 if v["start"] == "clipped" else 1)
        apart: list[Any] = [z for z in (given, whole) if z is not None]
        need(apart != [], "inputs.start_clip", start, "given, or model_clip, or start_distance")
        both: list[Any] = [z if z is None else (1 - self.gap) * z + self.change for z in (min(apart), whole)]
        self.arrives = [min(both[0], whole), whole] if v["clip_first"] else both
def check_texts(cert: Any, t: Terms) -> str:
    texts, right, of = [cert["theorems"], cert["assumptions"], cert["limits"]], FIXED_TEXTS[cert["version"]], cert["version"]
    wanted = (statement_of_steps if of == 4 else statement)(t.v, t)
    need(cert["statement"] == wanted, "statement", cert["statement"], repr(wanted))
    need(digest(texts) == right, "theorems, assumptions, limits", digest(texts), f"those of format {of}, {right}")
    return f"statement: belongs to these inputs; theorems, assumptions and limits: those of format {of}"
def statement_of_steps(v: Any, t: Terms) -> str:
    of = f"any model at most {v['start_distance']} away" if v["start_distance"] else WORDS.get(v["start"], "the public centre")
    return (f"After {v['steps']} noisy steps on retained data, with noise sigma = {v['sigma']} in each, the released model is "
            f"({v['epsilon']}, {v['delta']})-indistinguishable in both directions from {of}, after the same noisy steps.")
def statement(v: Any, t: Terms) -> str:
    place, more, words = v["placement"], t.age[0] % t.batches, OWN if t.own else WORDS
    order = words[place] if type(place) is str else f"given {place}, the [batch, points] of the deletion"
    again = WORDS.get(t.reference, f"retraining, from anywhere in the ball, for {t.reference} epochs and {more} steps")
    old = (f"{again} with {sum(t.points)} of {t.n} points {WORDS[v['adjacency']]}, {order}" if not t.own else
           f"{again} on the same history without the {sum(t.points)} deleted of {t.n} records{OWN[v['adjacency']]}, {order}, "
           + (f"where the key was redrawn until no batch had more than {t.limit} records and no record joined later"
              if v["redraw"] else f"where the key was never redrawn and at most {v['largest_n']} records were ever in"))
    return (f"After {t.steps[-1]} steps of unlearning since request {t.q}, the last one, with noise sigma = {v['sigma']}, "
            f"the released model is ({v['epsilon']}, {v['delta']})-indistinguishable in both directions from {old}.")
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
    if t.own and place != "random":  # [batch, points]: one of one record; last where a stand-in comes: at its worst
        right = place == "worst" or (len(place) == 1 and place[0][1] == p == 1 and place[0][0] < t.batches)
        need(right, "inputs.placement", place, "random, worst, or the batch of one record")
        first = (1, p, t.worst(s)) if place == "worst" else (1, 1, [[t.place(s, place[0][0], 1)]])
        return [first] + [(1, p, t.worst(s))] * t.stand_in
    if place == "random":
        need(p == 1, "inputs.placement", place, "worst, or [batch, points], for several points")
        right = not t.dropped or all(case["start"] == "common" for case in cases)
        need(right, "inputs.placement", place, "worst: points are dropped, and the two runs start apart")
        places = (t.place(s, j, 1) for j in range(t.batches))
        drawn = [(fmpq(1, t.batches) if t.own else fmpq(place[2], t.n), 1, [[place]]) for place in places]
        return drawn + [(fmpq(t.dropped, t.n), 1, [])] * (t.dropped > 0)
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
    most = max(t.points[-1] // t.b, t.batches if t.v["placement"] == "random" else 0)
    most = max(most, sum(len(case["placed"]) * len(case["pieces"]) for case in cases))
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
    right = [low for low, _, _ in pieces] + [steps] == [0] + [high for _, high, _ in pieces]
    right = right and all(high is None or high > low for low, high, _ in pieces)
    need(right, f"{field}.pieces", pieces, f"pieces that follow one another from 0 to {steps}, the steps of the case")
    covered = decided(f"{field}.pieces", lambda: covers(case, t, age))
    need(covered, f"{field}.pieces", pieces, "larger: they do not cover the differences")
    return encloses(case["mu"], f"{field}.mu", lambda x, up: (x, mu_of([case], t)))
def check_blocks(witness: Any, t: Any) -> Iterator[str]:
    """The shifts of a block are shift (1 - gap)^r, r steps before its end; `change` arrives at every step but its first one."""
    steps, blocks = (sum(row["blocks"] * row.get(name, 1) for row in witness) for name in ("steps", ""))
    need(0 < steps <= t.v["steps"], "witness", steps, f"blocks of 1 to {t.v['steps']} steps in all")
    need(blocks == 1 or t.arrives[1] is not None, "witness", blocks, "one block, as no step clips the model")
    for i, row in enumerate(witness):
        n, arrives, field = row["steps"], t.arrives[i > 0 or row["blocks"] > 1], f"witness[{i}].shift"
        def covered(n: int = n, arrives: Any = arrives, text: str = row["shift"]) -> bool:
            a, whole = ball(text), t.change * t.total(n - 1, 1) + arrives * t.power(n - 1)
            within = all(certain(t.change * t.total(r, 1), a * t.total(r, 2)) for r in {min(1, n - 1), n - 1})
            return within and certain(whole, a * t.total(n, 2))
        need(decided(field, covered), field, row["shift"], "larger: it does not cover the differences")
        yield f"{field} covers {row['blocks']} blocks of {n} steps"
# --- The result
Law = tuple[Callable[[], arb], Callable[[arb, Any, bool], arb]]  # the largest mu; delta at an epsilon, from its signs
def gdp(epsilon: arb, mu: arb) -> arb:  # Phi(-epsilon/mu + mu/2) - e^epsilon Phi(-epsilon/mu - mu/2)
    near, far = (((epsilon / mu + sign * mu / 2) / arb(2).sqrt()).erfc() for sign in (-1, 1)) if mu != 0 else (0, 0)
    return (near - epsilon.exp() * far) / 2
def law_of_blocks(witness: Any, t: Terms) -> Law:  # each takes delta to delta gdp(log(1 + (e^epsilon - 1)/delta), mu)
    mus = cache(lambda bits: [
        mu for row in witness for mu in [mu_of([{"pieces": [(0, row["steps"], row["shift"])]}], t)] * row["blocks"]])
    def delta(epsilon: arb, signs: Any, up: bool) -> arb:
        value, least = arb(1), arb("1e-1002")
        for mu in mus(ctx.prec):
            value = value * gdp((epsilon.expm1() / value).log1p(), mu) if not value < least else least * arb(0.5, 0.5)
        return value
    return lambda: mus(ctx.prec)[0], delta
def newest(witness: Any, t: Terms) -> list[arb]:  # mu of the last request's entries; older ones add theirs
    mus = [entry["count"] * mu_of(entry["cases"], t) for entry in witness]
    return [sum(mus[: t.q - 1], arb(0)) + mu for mu in mus[t.q - 1 :]]
def law(witness: Any, t: Terms) -> Law:
    mus = cache(lambda bits: newest(witness, t))
    return (lambda: reduce(arb.max, mus(ctx.prec))), lambda epsilon, signs, up: sum((
        ball(entry["weight"]) * gdp(epsilon, mu) for entry, mu in zip(witness[t.q - 1 :], mus(ctx.prec), strict=True)), arb(0))
# Format 3. P: the average of N(mu_j, 1), R: N(-s, 1); the ratio P/R of their densities increases. With g = e^epsilon, if it is
# certainly at most g at x1 and at least g at x2, P(E) - g R(E) <= P(X > x1) - g R(X > x2) for any event E; if at most 1/g at y1
# and at least 1/g at y2, R(E) - g P(E) <= R(X < y2) - g P(X < y1). x2 null: +infinity, y1 null: -infinity. A class [begin, end)
# of a stand-in's batches counts as its largest s; without stand-ins s is 0. Any x1 and y1 give lower bounds. mu of older
# requests is added to every mu_j, and to every s.
def law_of_draws(witness: Any, t: Terms) -> Law:
    @cache
    def scales(bits: int) -> tuple[list[arb], list[arb]]:  # mu/sqrt(2) of the leaver's batches and of the stand-in's
        mus = [mu / arb(2).sqrt() for mu in newest(witness, t)]
        both, other = (mus, mus) if t.v["placement"] == "random" else (mus[:1], mus[1:])
        return both, other if t.stand_in else [arb(0)]
    cost = cache(lambda bits: paid(t))
    @cache
    def beyond(x: str, way: int, bits: int) -> arb:  # P(X > x), or P(X < x)
        at = ball(x) / arb(2).sqrt()
        return sum(((way * (at - a)).erfc() for a in scales(bits)[0]), arb(0)) / len(scales(bits)[0]) / 2
    def divergence(epsilon: arb, signs: Any, up: bool) -> arb:
        """Certainly no smaller than the larger direction (up), or no larger."""
        inner, outer = scales(ctx.prec)
        ends = [row[0] for row in signs]
        need(ends == sorted(set(ends)) and ends[-1:] == [len(outer)], "signs", ends, f"the ends of classes, up to {len(outer)}")
        g, root, forward, backward = epsilon.exp(), arb(2).sqrt(), arb(0), arb(0)
        for begin, (end, *places) in zip([0, *ends], signs, strict=False):
            s = reduce(arb.max, outer[begin:end])
            x1, x2, y1, y2 = (None if place is None else ball(place) / root for place in places)
            def ratio(x: Any, s: arb = s) -> arb:
                return sum(((a * (2 * x - a)).exp() for a in inner), arb(0)) / len(inner) * (s * (2 * x + s)).exp()
            if s == 0 and all(a == 0 for a in inner):  # nothing differs
                continue
            if up:
                right = certain(ratio(x1), g) and certain(1 / g, ratio(y2))
                right = right and (x2 is None or certain(g, ratio(x2))) and (y1 is None or certain(ratio(y1), 1 / g))
                need(right, "signs", places, "around the places where P/R is e^epsilon and e^-epsilon")
            part, far, near = arb(end - begin) / len(outer), x2 if up else x1, y2 if up else y1
            forward += part * (beyond(places[0], 1, ctx.prec) - (0 if far is None else g * (far + s).erfc() / 2))
            if near is not None:
                lost = 0 if y1 is None else g * beyond(places[2], -1, ctx.prec)
                backward += part * ((-near - s).erfc() / 2 - lost)
        return forward.max(backward)
    def delta(epsilon: arb, signs: Any, up: bool) -> arb:
        p, redrawn = cost(ctx.prec), t.v["redraw"]  # P <= (e^inside R + delta')/(1 - p), R <= e^inside P + delta' + e^inside p
        inside = epsilon + (-p).log1p() if redrawn else epsilon
        if not certain(arb(0), inside):
            return arb(1)
        value = divergence(inside, signs, up) + (inside.exp() * p if redrawn else p)
        return (value / (1 - p) if redrawn else value).min(arb(1))
    return lambda: sum((reduce(arb.max, part) for part in scales(ctx.prec)), arb(0)) * arb(2).sqrt(), delta
def paid(t: Terms) -> arb:
    """Redrawn: the chance that one of the deleted records makes its batch too large; else that any batch is, at any time."""
    if t.limit is None or t.others <= t.limit:
        return arb(0)
    beyond = t.batches * tail(t.others, t.batches, t.limit + 1)
    if not t.v["redraw"]:
        return beyond
    p = sum(t.points) * mass(t.others, t.batches, t.limit) / (1 - beyond)
    need(certain(beyond, arb(1)) and certain(p, arb(1)), "inputs.redraw", True, "false: too large batches are the rule")
    return p
def mass(n: int, batches: int, k: int) -> arb:  # P(Bin(n, 1/batches) = k)
    ways = arb(n + 1).lgamma() - arb(k + 1).lgamma() - arb(n - k + 1).lgamma()
    return (ways - k * arb(batches).log() + (n - k) * (-arb(1) / batches).log1p()).exp()
def tail(n: int, batches: int, least: int) -> arb:
    """P(Bin(n, 1/batches) >= least): terms, and a rest that falls faster than a geometric series."""
    need(least * batches > n + batches, "inputs", least, f"more: batches of {least} of {n} records are the rule")
    total, term = arb(0), mass(n, batches, least)
    for k in range(least, least + MOST_TERMS):
        total, ratio = total + term, arb(fmpq(n - k, (k + 1) * (batches - 1)))
        term, rest = term * ratio, term * ratio / (1 - ratio)
        if k >= n or certain(rest, total * arb(2) ** (40 - ctx.prec)):
            return total + rest * arb(0.5, 0.5)
    raise Refused(f"inputs: the chance that a batch has more than {least - 1} records is no sum of {MOST_TERMS} terms")
def check_result(result: Any, v: Any, t: Terms, witness: Any) -> Iterator[str]:
    blocks = sum(row.get("blocks", 0) for row in witness)
    largest, delta = (law_of_draws if t.own else law_of_blocks if blocks else law)(witness, t)
    need((result["mu"] is None) == (blocks > 1), "result.mu", result["mu"], "null where blocks contract, and only there")
    if blocks <= 1:
        yield encloses(result["mu"], "result.mu", lambda x, up: (x, largest()))
    need(blocks * (2 + len(result["curve"])) <= MOST_TERMS, "witness", blocks, "fewer blocks, or points of the curve")
    need(len(result["curve"]) <= 100, "result.curve", len(result["curve"]), "at most 100 points")
    if t.own:
        yield encloses(result["paid"], "result.paid, for batches that are too large,", lambda x, up: (x, paid(t)))
        rows = sum(map(len, [result["delta_signs"], result["epsilon_signs"], *(point["signs"] for point in result["curve"])]))
        need(rows * len(witness) <= MOST_TERMS, "result", rows * len(witness), f"at most {MOST_TERMS} pairs of components")
    yield encloses(result["delta"], "result.delta", lambda x, up: (x, delta(ball(v["epsilon"]), result.get("delta_signs"), up)))
    def epsilon(field: str, pair: list[str], at: str, signs: Any) -> str:
        need(0 < exact(at) < 1, f"{field}.delta", at, "above 0 and below 1")
        return encloses(pair, f"{field}.epsilon at delta = {at}", lambda x, up: (ball(at), delta(x, signs, up)))
    yield epsilon("result", result["epsilon"], v["delta"], result.get("epsilon_signs"))
    for i, point in enumerate(result["curve"]):
        yield epsilon(f"result.curve[{i}]", point["epsilon"], point["delta"], point.get("signs"))
    for name in ("epsilon",) if t.own else ("epsilon", "delta"):  # what holds at a smaller epsilon holds at the claimed one
        need(exact(result[name][1]) <= exact(v[name]), f"result.{name}", result[name], f"at most {v[name]}, the claim")
def digest(value: Any) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
def check(data: bytes) -> Iterator[str]:  # a line for each verified fact; raises Refused at the first that fails
    try:
        need(len(data) <= LARGEST_FILE, "the length of the file", len(data), f"at most {LARGEST_FILE} bytes")
        once = lambda pairs: dict(pairs) if len(dict(pairs)) == len(pairs) else 'a key "twice"'  # noqa: E731
        cert = json.loads(data.decode("ascii"), object_pairs_hook=once)
        version: Any = cert.get("version") if type(cert) is dict else 0
        need(type(version) is int and version in SHAPES, "certificate.version", version, " or ".join(map(str, SHAPES)))
        conform(cert, SHAPES[version], "certificate")
        v = cert["inputs"]
        for name in v.keys() & {"smoothness", "lipschitz", "step_size", "sigma", "radius", "delta", *CLIPS[:3]}:
            need(v[name] is None or exact(v[name]) > 0, f"inputs.{name}", v[name], "above 0")
        need(exact(v["delta"]) < 1, "inputs.delta", v["delta"], "below 1")
        t = (Steps if version == 4 else Terms)(v)
        size = f"; more than {t.limit} other records in a batch are too many" if t.limit is not None else ""
        yield f"structure: format {version}; {t.batches} {t.unit}; contraction c = {arb(1 - t.gap).str(20, radius=False)}{size}"
        yield check_texts(cert, t)
        yield from (check_blocks if version == 4 else check_witness)(cert["witness"], t)
        yield from check_result(cert["result"], cert["inputs"], t, cert["witness"])
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
