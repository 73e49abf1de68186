"""Verify an unlearning certificate without the program that wrote it: python check.py certificate.json
It says that a model trained by noisy gradient descent cannot, after some steps of unlearning, be told from a retrained one.
Keys, texts, witness, result and digests are verified; docs/guides/certificates.md has the mathematics and the formats: batches
of a partition (2; 6: streams), secret draws (3; 5: streams), the same noisy steps (4). Numbers are exact, or balls sure to hold
them. Steps r are counted from the end, at which they weigh c^r. Exit code: 0 valid, 1 refused, 2 it could not be read."""
import bisect, contextlib, fractions, hashlib, json, math, re, sys
from functools import cache, lru_cache, reduce
from itertools import accumulate, combinations_with_replacement, islice, pairwise
from typing import Any, Callable, Iterable, Iterator
from flint import arb, ctx, fmpq, fmpz_poly
LARGEST_FILE, MOST_PAIRS, MOST_TERMS, MOST_WORK = 2**24, 2**18, 2**18, 2**32
ONE, FINE, LEAST = 2**1024, 2**64, arb("1e-1002")  # a mass of one, a cell of a grid, a delta too small to be told from 0
PRECISIONS = (256, 512, 1024, 2048, 4096)  # bits: the next one is taken where a comparison is not certain
FIXED_TEXTS = {2: "b3a1593ac6ee17a0d4b33171811981d4", 3: "ea12b9d5550956eef3909e98b7da7352",  # so their SHA-256 begins
    4: "d95f02f3e7f0eb1f0646161b59a8fdb7", 5: "ba5bf42117d304d67d99be9c97aa17be", 6: "9f7294c7575c5fd92a3615c41ea115c6"}
WORDS = {"replace": "replaced by others", "zero-out": "left out (the divisors of their batches kept)",
    "matched": "retraining from the same initial law for as many epochs", "converged": "retraining until its law is stable",
    "clipped": "retraining without the deleted records (or a public initialisation), clipped alike",
    "worst": "whatever the batch order", "random": "averaged over the draw of the batch order, earlier requests at their worst",
    "law": "averaged over the draw of the batch order"}
OWN = {"remove": "", "replace": ", others that draw for themselves in their place",  # of own draws
    "worst": "whatever the deleted records drew", "law": "averaged over the secret draws of all of them",
    "random": "averaged over the secret draw of the record deleted last, earlier ones at their worst"}
# A shape: a dict (exactly these keys), a tuple (a list of that length; None first: or null), [shape] (a list), a JSON pattern.
WHOLE, COUNT, TEXT, DIGEST = "0|[1-9][0-9]{0,14}", "[1-9][0-9]{0,14}", r'"[ !#-\[\]-~]*"', '"sha256:[0-9a-f]{64}"'
SHORT = r"0|[1-9][0-9]{0,20}|[1-9](\.[0-9]*[1-9])?e[+-][1-9][0-9]{0,4}"  # a number has one spelling; nothing is negative
NUMBER = rf'(?=.{{3,1002}}$)"({SHORT}|(?!0\.0{{6}})(0|[1-9][0-9]{{0,20}})\.[0-9]*[1-9]|[1-9][0-9]*/[1-9][0-9]*)"'
SIGNED, OR_NONE, PAIR, BOOL = NUMBER.replace('"(', '"-?(', 1), "null|", (NUMBER, NUMBER), "true|false"
BRIEF = r"(?!.{403}|.*e.[0-9]{4})" + NUMBER  # cheap as an exact number
INPUTS = {"n": COUNT, "smoothness": NUMBER, "strong_convexity": NUMBER, "lipschitz": NUMBER, "batch_size": COUNT,
    "adjacency": '"replace"|"zero-out"', "last_batch": '"keep"|"drop"', "step_size": NUMBER, "radius": "null|" + NUMBER,
    "learn_epochs": "null|" + COUNT, "start_distance": "null|" + NUMBER, "reference": '"matched"|"converged"|' + COUNT,
    "requests": [{"points": COUNT, "steps": WHOLE}], "sigma": NUMBER, "epsilon": NUMBER, "delta": NUMBER,
    "placement": rf'"random"|"worst"|\[(\[({WHOLE}), {COUNT}\](, (?=\[)|(?=\]$)))+\]'}  # or [[batch, points], ...]
DRAWN = {key: shape for key, shape in INPUTS.items() if key != "last_batch"} | {  # format 3
    "adjacency": '"remove"|"replace"', "assignment": '"secret"', "largest_n": COUNT, "redraw": BOOL}
CLIPS = "gradient_clip", "start_clip", "model_clip", "start_distance"  # format 4
STEPS = dict.fromkeys(("step_size", "weight_decay", "sigma", "epsilon", "delta"), NUMBER) | dict.fromkeys(
    CLIPS, OR_NONE + NUMBER) | {"algorithm": '"fine-tuning"', "start": '"clipped"|"centre"', "clip_first": BOOL, "steps": COUNT}
PARTS = INPUTS | {"placement": '"law"|"worst"', "rounding": BRIEF}  # formats 6, 5
LAW = DRAWN | {"placement": '"law"', "rounding": BRIEF, "requests": [{"points": WHOLE, "steps": WHOLE, "joined": WHOLE}]}
PIECES, SIGNS = [(WHOLE, "null|" + COUNT, NUMBER)], [(COUNT, SIGNED, OR_NONE + SIGNED, OR_NONE + SIGNED, SIGNED)]
CASES = [{"weight": NUMBER, "count": COUNT, "cases": [{"placed": [(WHOLE, COUNT, COUNT)], "steps": "null|" + WHOLE,
    "start": '"common"|"diameter"|"given"', "pieces": PIECES, "mu": PAIR}]}]
KIND, TAILS = {"together": COUNT, "steps": WHOLE, "epochs": "null|" + COUNT, "pieces": [PIECES]}, [(BRIEF, BRIEF)]  # format 5
KINDS: Any = {"kinds": [KIND], "requests": [WHOLE], "cells": COUNT, "cell": BRIEF, "inner": TAILS, "outer": TAILS}
PLACED = KINDS | {"kinds": [KIND | {"worst": BOOL}], "group": '"tails"|"drawn"|"replaced"'}  # format 6
RESULT = {"mu": PAIR, "delta": PAIR, "epsilon": PAIR, "curve": [{"delta": NUMBER, "epsilon": PAIR}]}
SIGNED_RESULT = RESULT | {"paid": PAIR, "delta_signs": SIGNS, "epsilon_signs": SIGNS,  # [end, x1, x2, y1, y2]: see law_of_draws
    "curve": [{"delta": NUMBER, "epsilon": PAIR, "signs": SIGNS}]}
SHAPES: dict[int, Any] = {version: {"format": '"unlearning-certificate"', "version": str(version), "statement": TEXT,
    "inputs": inputs, "origins": dict.fromkeys(inputs, TEXT), "theorems": [{"use": TEXT, "source": TEXT}],
    "assumptions": [{"text": TEXT, "status": TEXT}], "limits": [TEXT], "witness": witness, "result": result,
    "digests": {"inputs": DIGEST, "problem_file": "null|" + DIGEST, "content": DIGEST}, "software": TEXT,
    "time": '"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"', "signature": "null|" + TEXT}
    for version, inputs, witness, result in (
        (2, INPUTS, CASES, RESULT), (3, DRAWN, CASES, SIGNED_RESULT), (5, LAW, (KINDS,), SIGNED_RESULT), (6, PARTS, (PLACED,),
        RESULT), (4, STEPS, [{"blocks": COUNT, "steps": COUNT, "shift": NUMBER}], RESULT | {"mu": (None, *PAIR)}))}
class Refused(Exception): pass  # noqa: N818  # the certificate is not valid; the message is the reason
class TooMuchWork(Refused): pass
def need(condition: bool, field: str, value: object, wanted: object) -> None:
    if not condition: raise Refused(f"{field} is {ascii(value)[:99]}, should be {wanted}")
def conform(value: Any, shape: Any, field: str) -> Any:
    shape = ("null" if value is None else shape[1:]) if type(shape) is tuple and shape[0] is None else shape
    if isinstance(shape, str): need(bool(re.fullmatch(shape, json.dumps(value, ensure_ascii=False))), field, value, shape)
    elif isinstance(shape, dict):
        need(type(value) is dict and value.keys() == shape.keys(), field, value, "an object with the keys " + ", ".join(shape))
        [conform(value[key], shape[key], f"{field}.{key}") for key in shape]
    else:
        need(type(value) is list and (type(shape) is list or len(value) == len(shape)), field, value, "a list, or one as long")
        [conform(item, shape[i if type(shape) is tuple else 0], f"{field}[{i}]") for i, item in enumerate(value)]
def exact(text: str) -> fmpq:
    value = fmpq(*fractions.Fraction(text).as_integer_ratio())
    need("/" not in text or str(value) == text, "fraction", text, f"{value}, in lowest terms")
    return value
def ball(text: str) -> arb: return arb(exact(text)) if "/" in text else arb(text)  # a ball around a decimal: always cheap
def certain(less: Any, more: Any) -> bool:  # whether less <= more; balls that overlap, and nan, decide nothing
    if less <= more or less > more: return bool(less <= more)
    raise FloatingPointError("not certain at the precision in force")
def decided(field: str, fact: Callable[[], bool]) -> bool:
    for bits in PRECISIONS:
        with ctx.workprec(bits), contextlib.suppress(FloatingPointError): return fact()
    raise Refused(f"{field} cannot be decided with {PRECISIONS[-1]} bits")
def encloses(pair: list[str], field: str, order: Callable[[arb, bool], tuple[arb, arb]]) -> str:
    def fact() -> bool:  # order(x, up) is (p, q): p <= q if x <= what is enclosed (never < 0), p >= q (up) if x >= it
        low, high = ball(pair[0]), ball(pair[1])
        need(low == 0 or certain(*order(low, False)), field, pair, "an enclosure: its low end is too high")
        need(certain(*order(high, True)[::-1]), field, pair, "an enclosure: its high end is too low")
        return (low == 0 and certain(high, arb("1e-1000"))) or certain(high - low, arb("1e-25") * high)
    need(decided(field, fact), field, pair, "narrower: the enclosure is not tight")
    return f"{field} is at most {pair[1]}"
class Terms:  # the inputs in exact numbers; requests are counted from 0 here
    work = 0
    def spend(self, work: int) -> None:  # in bits that are multiplied, some nanoseconds each: no file takes minutes
        self.work += work
        if self.work > MOST_WORK: raise TooMuchWork("witness takes too much work: fewer or coarser cells, or fewer records")
    def __init__(self, v: Any) -> None:
        smooth, convex, eta = (exact(v[name]) for name in ("smoothness", "strong_convexity", "step_size"))
        need(convex <= smooth, "inputs.strong_convexity", v["strong_convexity"], "at most smoothness")
        need(eta * smooth <= 2, "inputs.step_size", v["step_size"], "at most 2/smoothness")
        self.own, self.unit = "assignment" in v, "batches"  # own: every record draws its batch by itself; the divisor is b
        self.v, self.n, self.b, self.learned, self.reference = v, v["n"], v["batch_size"], v["learn_epochs"], v["reference"]
        need(self.b <= self.n, "inputs.batch_size", self.b, f"at most n = {self.n}")
        self.gap = eta * convex if self.own else min(eta * convex, 2 - eta * smooth)
        need(self.gap <= 1, "inputs.step_size", v["step_size"], "at most 1/strong_convexity")
        any_load = smooth == convex or not self.own  # limit: other records with which a step contracts so; None: any number
        self.limit = None if any_load else int((self.b * (2 / eta - 2 * convex) / (smooth - convex)).floor())
        self.change = (2 if v["adjacency"] == "replace" and not self.own else 1) * eta * exact(v["lipschitz"])  # h b
        self.variance, self.stand_in = 2 * eta * exact(v["sigma"]) ** 2, self.own and v["adjacency"] == "replace"
        self.short, self.dropped = (self.n % self.b * (v.get("last_batch") == kind) for kind in ("keep", "drop"))
        self.batches = -((self.dropped - self.n) // self.b)  # a smaller last one, or dropped points, where b does not divide n
        self.points, self.steps = ([request[name] for request in v["requests"]] for name in ("points", "steps"))
        self.ever = self.n + sum(request.get("joined", 0) for request in v["requests"])  # records
        need(0 < sum(self.points) <= self.ever, "inputs.requests", self.points, f"some of at most n = {self.ever} points")
        self.q, self.before = len(self.points), [0, *accumulate(self.steps)]  # before[s]: unlearning steps before request s
        self.age = [self.before[-1] - before for before in self.before]  # age[s]: steps from request s to the release
        most = self.ever + (sum(self.points) - 1) * self.stand_in  # the leavers, and the stand-ins but one: `others` counts it
        if self.own and v["redraw"]:
            need(not self.stand_in and self.limit is not None, "inputs.redraw", True, "false: a stand-in joins, or any will do")
            need(v["largest_n"] == self.n, "inputs.largest_n", v["largest_n"], f"n = {self.n}: with redraw no record joins")
        need(not self.own or v["largest_n"] >= most, "inputs.largest_n", v.get("largest_n"), f"at least {most}")
        self.others = v.get("largest_n", 1) - (not self.stand_in)  # records that may lie in the batch of one that leaves
    def place(self, s: int, j: int, points: int) -> list[int]:  # batch j's lag, when unlearning for request s begins
        return [(self.before[s] - 1 - j) % self.batches, points, self.short if self.short and j == self.batches - 1 else self.b]
    def worst(self, s: int) -> list[list[list[int]]]:  # a point, visited in the very last step or in the smaller batch
        short = self.place(s, self.batches - 1, 1)
        return [[short]] if self.short and short[0] == 0 else [[[0, 1, self.b]]] + [[short]] * (self.short > 0)
    def fits(self, steps: int | None, start: str) -> bool:  # whether both runs have the steps (None: all), and start so near
        learned = None if self.learned is None else self.learned * self.batches + self.age[0]
        matched, counted, given = self.reference == "matched", type(self.reference) is int, self.v["start_distance"] is not None
        alike = matched or (self.reference == "converged" and learned is None)
        if self.own and (sum(self.points) > 1 or self.stand_in) and (given or start != "common"): return False  # no capped sum
        if given or start == "given": return given and start == "given" and self.q == 1 and steps == self.age[0] and not counted
        if start == "common":  # None: finite matched learning too, the shifts of steps that never were are left out
            return self.gap > 0 and alike if steps is None else matched and self.q == 1 and steps == learned
        again = self.reference * self.batches + self.age[0] % self.batches if counted else None  # both end at the same batch
        within = steps is not None and all(steps <= limit for limit in (learned, again) if limit is not None)
        return self.v["radius"] is not None and self.q == 1 and within
    @lru_cache(16)  # noqa: B019  # log c, with the digits of a small gap or c kept
    def log(self, bits: int) -> arb: return arb(-self.gap).log1p() if 2 * self.gap < 1 else arb(1 - self.gap).log()
    def power(self, r: int) -> arb:  # c^r, however near to 1 c = 1 - gap is and however large r
        return arb(int(self.gap == 0 or r == 0)) if self.gap in (0, 1) else (r * self.log(ctx.prec)).exp()
    def total(self, count: int | None, stride: int) -> arb:  # 1 + c^stride + c^(2 stride) + ..., so many terms; None: all
        if self.gap in (0, 1): return arb(count if self.gap == 0 else int(count != 0))
        return (1 if count is None else -(count * stride * self.log(ctx.prec)).expm1()) / -(stride * self.log(ctx.prec)).expm1()
class Steps(Terms):  # format 4. A step takes models z apart to (1 - gap) z + change; arrives: z when a block's noise comes
    def __init__(self, v: Any) -> None:
        clip, start, radius, given = (v[name] and exact(v[name]) for name in CLIPS)
        self.v, self.own, self.limit, self.batches, self.unit, eta = v, False, None, v["steps"], "steps", exact(v["step_size"])
        self.gap, self.variance, whole = eta * exact(v["weight_decay"]), exact(v["sigma"]) ** 2, radius and 2 * radius
        need(self.gap <= 1, "inputs.weight_decay", v["weight_decay"], "at most 1/step_size")
        need((radius if v["clip_first"] else clip) is not None, "inputs", v, "with gradient_clip, or model_clip and clip_first")
        self.change = whole if clip is None else 2 * eta * clip
        given = given if given is not None or start is None else start * (2 if v["start"] == "clipped" else 1)
        apart = min((z for z in (given, whole) if z is not None), default=None)
        need(apart is not None, "inputs.start_clip", start, "given, or model_clip, or start_distance")
        both: list[Any] = [z if z is None else (1 - self.gap) * z + self.change for z in (apart, whole)]
        self.arrives = [min(both[0], whole), whole] if v["clip_first"] else both
def statement(v: Any, t: Terms) -> str:
    proved = f"the released model is ({v['epsilon']}, {v['delta']})-indistinguishable in both directions from "
    if "requests" not in v:
        of, given = WORDS.get(v["start"], "the public centre"), v["start_distance"]
        return (f"After {v['steps']} noisy steps on retained data, with noise sigma = {v['sigma']} in each, {proved}"
                f"{of if given is None else f'any model at most {given} away'}, after the same noisy steps.")
    place, more, gone, changed = v["placement"], t.age[0] % t.batches, sum(t.points), (OWN if t.own else WORDS)[v["adjacency"]]
    order = (OWN if t.own else WORDS)[place] if type(place) is str else f"given {place}, the [batch, points] of the deletion"
    again = WORDS.get(t.reference, f"retraining, from anywhere in the ball, for {t.reference} epochs and {more} steps")
    old = (f"{again} with {gone} of {t.n} points {changed}, {order}" if not t.own else
           f"{again} on the same history without the {gone} deleted of {t.ever} records{changed}, {order}, where the key was "
           + (f"redrawn until no batch had more than {t.limit} records and no record joined later"
              if v["redraw"] else f"never redrawn and at most {v['largest_n']} records were ever in"))
    return (f"After {t.steps[-1]} steps of unlearning since request {sum(map(bool, t.points))}, the last one, with noise "
            f"sigma = {v['sigma']}, {proved}{old}.")
def covers(case: Any, t: Terms, age: int) -> bool:
    period, steps, paid = t.batches, case["steps"], arb(0)  # A - S is concave in a piece: two arrivals suffice
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
                if not certain(owed, paid + scale * t.total(first + i * period - low + 1, 2)): return False
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
def expected(t: Terms, cases: Any) -> list[Any]:  # of the last request: weight, count, placed of every entry
    p, s, place = t.points[-1], t.q - 1, t.v["placement"]
    need(not t.own or type(place) is str or (len(place) == 1 and place[0][1] == p == 1), "inputs.placement", place, "of one")
    if place == "worst" and (t.own or t.q > 1): return [(1, p, t.worst(s))] * (1 + t.stand_in)
    if place == "random":
        need(p == 1, "inputs.placement", place, "worst, or [batch, points], for several points")
        need(not t.dropped or all(c["start"] == "common" for c in cases), "inputs.placement", place, "worst: runs start apart")
        places = (t.place(s, j, 1) for j in range(t.batches))
        drawn = [(fmpq(1, t.batches) if t.own else fmpq(place[2], t.n), 1, [[place]]) for place in places]
        return drawn + [(fmpq(t.dropped, t.n), 1, [])] * (t.dropped > 0)
    need(t.q == 1 or t.own, "inputs.placement", place, "random or worst in a stream")
    if place == "worst":  # as many as fit in the last batch, then in the one before it, and so on
        need(p <= t.n - t.dropped, "inputs.requests", p, "fewer points, of those in batches")
        ends = [0, *accumulate(t.place(s, j, 1)[2] for j in range(t.batches - 1, max(-1, t.batches - 3 - p // t.b), -1))]
        place = [[t.batches - 1 - i, min(p, end) - ends[i]] for i, end in enumerate(ends[1:]) if ends[i] < p][::-1]
    right = sorted({j for j, _ in place if j < t.batches}) == [j for j, _ in place] and sum(count for _, count in place) == p
    placed = [t.place(s, j, count) for j, count in place[::-1]]
    need(right and all(k <= b for _, k, b in placed), "inputs.placement", place, f"batches in order, for {p} points")
    return [(1, 1, [placed])] + [(1, p, t.worst(s))] * t.stand_in  # who may have drawn any batch
def check_witness(witness: Any, t: Terms) -> Iterator[str]:
    cases = [case for entry in witness for case in entry["cases"]]
    most = max(sum(len(case["placed"]) * len(case["pieces"]) for case in cases), t.points[-1] // t.b,
               t.batches if t.v["placement"] == "random" else 0)
    need(most <= MOST_PAIRS, "witness", most, f"at most {MOST_PAIRS} pairs of a placed batch and a piece")
    wanted = [(1, t.points[s], t.worst(s)) for s in range(t.q - 1)] + expected(t, cases)
    need(len(witness) == len(wanted), "witness", len(witness), f"{len(wanted)} entries")
    for i, (entry, right) in enumerate(zip(witness, wanted, strict=True)):
        have = (exact(entry["weight"]), entry["count"], [case["placed"] for case in entry["cases"]])
        need(have == right, f"witness[{i}]: weight, count, what is placed in each case", have, right)
        for k, case in enumerate(entry["cases"]):
            field, right = f"witness[{i}].cases[{k}]", t.fits(case["steps"], case["start"])
            need(right, f"{field}.steps", [case["steps"], case["start"]], "what schedule, reference and radius allow")
            check_pieces(case, t, t.age[min(i, t.q - 1)], field)
            yield encloses(case["mu"], f"{field}.mu", lambda x, up: (x, mu_of([case], t)))  # noqa: B023
def check_pieces(case: Any, t: Terms, age: int, field: str) -> None:
    steps, pieces, ends = case["steps"], case["pieces"], [0, *(high for _, high, _ in case["pieces"])]
    right = [*(low for low, _, _ in pieces), steps] == ends and all(high is None or high > low for low, high in pairwise(ends))
    need(right, f"{field}.pieces", pieces, f"pieces that follow one another from 0 to {steps}, the steps of the case")
    need(decided(f"{field}.pieces", lambda: covers(case, t, age)), f"{field}.pieces", pieces, "larger, to cover differences")
@ctx.workprec(PRECISIONS[0])
def check_law(witness: Any, t: Terms) -> list[str]:
    """Formats 5, 6. What records left is a sum of outcomes; its law, rounded up to cells, must have no larger tails than inner
    lists (outer, of stand-ins): [mu, the chance of more]; where a group is drawn, no larger mean of what is above any level:
    convex functions read it. Outcomes age: shifts are delayed and spread; those at their worst are as at the release."""
    w, law, sure, top, named, kinds = witness[0], {0: ONE}, arb(0), arb(0), 0, witness[0]["requests"][::-1]
    found_of = lru_cache(256)(lambda at, short: outcomes(w["kinds"][at], short, t))
    span, cell, rounding, drawn = t.learned and 0, exact(w["cell"]), exact(t.v["rounding"]), w.get("group", "tails") != "tails"
    need(t.v["start_distance"] is None and t.fits(None, "common") and t.points[-1] > 0, "inputs", t.v, "matched, of a request")
    for s, (points, steps, before) in enumerate(zip(t.points, t.steps, t.before, strict=False)):  # no points: records joined
        kept = t.power(steps) * ((t.total(span, 2) / t.total(span + steps, 2)).sqrt() if span else 1)
        top, span, factor = top * kept, span and span + steps, above(kept * (1 << 128))
        law = gathered((-(-factor * i >> 128), mass) for i, mass in law.items())
        if not points: continue
        t.spend(len(law) + t.batches << 10)
        kind = w["kinds"][at := kinds.pop()]
        right = kind["steps"] == (t.age[s] if kind.get("worst") else steps) and kind["together"] in (1, points if t.own else 1)
        need(right, "witness.requests", kind, f"of {steps} steps, {t.age[s]} before the release")
        need(kind["epochs"] is None or (kind["epochs"] - t.learned) * t.batches >= before, "witness.kinds", kind, "longer")
        found = found_of(at, t.short and t.place(s, t.batches - 1, 1)[0])
        sure += sum((mu * count for mu, count in filled(found, points if kind.get("worst") else 0)), arb(0))
        if kind.get("worst"): continue
        span = None if None in (span, kind["epochs"]) else max(span, kind["epochs"] * t.batches + steps)
        group = w.get("group", "tails") if s == t.q - 1 else "tails"
        need(t.v["placement"] == "law" and (group == "tails" or law.keys() == {0}), "witness.group", group, "tails, or worst")
        if not t.own:  # the k-th of them lies in a batch with a chance of at most its size/(n - k + 1), wherever the others are
            named, found = named + points, filled(found, t.n - (named + points - 1 if group == "tails" else 0))
        new, whole, high = together(found, points // kind["together"], w["cells"], cell, group, t)
        law, top = {i: -(-mass // whole) for i, mass in product(law, new, t).items()}, top + high
    cells = sorted(law)
    more, beyond = ([0, *accumulate(law[i] * (i if k else 1) for i in reversed(cells))][::-1] for k in (0, 1))  # from a cell on
    for name in ("inner", "outer")[: 1 + t.stand_in]:
        t.spend(len(w[name]) << 14)
        mus, chances = ([exact(row[i]) for row in w[name]] for i in (0, 1))
        right = mus == sorted(set(mus)) and [fmpq(1), *chances] == sorted({fmpq(1), *chances}, reverse=True)
        need(right and chances[-1:] == [0] and (t.stand_in or not w["outer"]), f"witness.{name}", w[name], "rising, down to 0")
        lefts, chances = [fmpq(-1), *mus], [fmpq(1), *chances]  # a level below all of them, too: the mean
        areas = [arb(p * (y - x)) for (x, y), p in zip(pairwise(lefts), chances, strict=False)]
        room: Any = [0, *accumulate(reversed(areas))][::-1]
        for left, chance, mean in list(zip([x - rounding for x in lefts], chances, room, strict=True))[not drawn:]:
            level = left - sure - (tiny := arb("1e-30") * drawn)  # surely below: all that counts is above it
            k = bisect.bisect_right(cells, int((level / cell).lower().floor().unique_fmpz()))
            right = (certain(cell * beyond[k] + (tiny - level) * more[k], mean * arb(ONE)) if drawn else
                     more[k] <= chance * ONE if chance > 0 else certain(sure + top, arb(left)))
            need(right, f"witness.{name}", [str(left), str(chance)], "larger: records left more, or more often")
    return [f"witness lists no smaller {'means' if drawn else 'tails'} than the law of what {sum(t.points)} records left"]
def product(one: Any, two: Any, t: Terms) -> dict[int, int]:  # the law of a sum of both
    work = (max(one) + max(two) + 1) * (ONE.bit_length() + max(two.values()).bit_length())
    t.spend(min(work, pairs := len(one) * len(two) << 8))
    if pairs < work: return gathered((i + j, mass * way) for i, mass in one.items() for j, way in two.items())
    one, two = (fmpz_poly([law.get(i, 0) for i in range(max(law) + 1)]) for law in (one, two))
    return {i: int(mass) for i, mass in enumerate((one * two).coeffs()) if mass}
above: Callable[[arb], int] = lambda x: int(x.upper().ceil().unique_fmpz())  # type: ignore[arg-type]
def gathered(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    sums: dict[int, int] = {}
    for i, mass in pairs: sums[i] = sums.get(i, 0) + mass
    return sums
def filled(found: Any, count: int) -> list[tuple[arb, int]]:  # so many of the ways there, those of the largest mu first
    ends = [min(end, count) for end in accumulate((way for _, way in found), initial=0)]
    return [(mu, end - begin) for (mu, _), (begin, end) in zip(found, pairwise(ends), strict=True) if end > begin]
def outcomes(kind: Any, short: int, t: Terms) -> list[tuple[arb, int]]:  # mu of a record (of all together), and the ways there
    found, steps = [(arb(0), t.dropped)] * (t.dropped > 0), kind["epochs"] and kind["epochs"] * t.batches + kind["steps"]
    drawn = combinations_with_replacement(range(t.batches), kind["together"])
    for lags, pieces in zip(islice(drawn, len(kind["pieces"]) + 1), kind["pieces"], strict=True):  # for every choice of batches
        t.spend(len(pieces) * len(set(lags)) << 13)
        held, size = {lag: lags.count(lag) for lag in lags}, t.short if t.short and lags[0] == short else t.b
        case = {"placed": [(lag, held[lag], size) for lag in held], "steps": steps, "start": "common", "pieces": pieces}
        check_pieces(case, t, kind["steps"], "witness.kinds")
        ways = math.factorial(len(lags)) // math.prod(map(math.factorial, held.values())) if t.own else size
        found.append((mu_of([case], t).upper(), ways))
    return sorted(found, key=lambda pair: pair[0], reverse=True)
def together(found: Any, count: int, cells: int, cell: fmpq, group: str, t: Terms) -> Any:  # cells, ways there; all; top
    high, small = found[0][0] * (1 + fmpq(1, 1 << 90)), count > 1 and group == "tails"
    base, unit = (found[-1][0], (high - found[-1][0]) / cells) if small else (0, cell)  # (several go to a grid of their own)
    wide, bits = above((high - base) / unit), sum(way for _, way in found).bit_length() + (0 if small else 64)
    if count > 1: t.spend(wide * count * (1024 + count * (len(found) * (1024 + 32 * count) if group == "drawn" else bits)))
    sizes = [(above((mu - base) / unit * FINE), way) for mu, way in found]  # between two cells: up, or so that the mean is kept
    split: Any = lambda x: ([(x // FINE, FINE - x % FINE), (x // FINE + 1, x % FINE)], [(-(-x // FINE), 1)])[group == "tails"]
    law: Any = gathered((i, way * part) for x, way in sizes for i, part in split(x))
    whole = math.comb(sum(way for _, way in found), count) * FINE**count if group == "drawn" else sum(law.values()) ** count
    if group == "drawn":  # batch by batch: by the number of points so far, the ways to their sum
        law = [{0: 1}] + [{}] * count
        for x, size in sizes:
            parts = [[(i, math.comb(size, k) * FINE**k * way // FINE) for i, way in split(k * x)] for k in range(count + 1)]
            law = [gathered((i + j, mass * way) for k in range(m + 1) for i, mass in law[m - k].items() for j, way in parts[k])
                   for m in range(count + 1)]
        law = law[count]
    elif count > 1: law = dict(enumerate((fmpz_poly([law.get(i, 0) for i in range(max(law) + 1)]) ** count).coeffs()))
    law = gathered((above((count * base + i * unit) / cell) if small else i, int(way)) for i, way in law.items() if way)
    return law, whole, count * high
def check_blocks(witness: Any, t: Any) -> Iterator[str]:  # shift (1 - gap)^r, r steps before the end of a block
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
def gdp(epsilon: arb, mu: arb, convex: bool = False) -> arb:  # Phi(-epsilon/mu + mu/2) - e^epsilon Phi(-epsilon/mu - mu/2)
    if convex: return gdp(epsilon, bend := mu.min((2 * epsilon).sqrt())) + (mu - bend) / (2 * arb.pi()).sqrt()  # or a tangent
    near, far = (((epsilon / mu + sign * mu / 2) / arb(2).sqrt()).erfc() for sign in (-1, 1)) if mu != 0 else (0, 0)
    return (near - epsilon.exp() * far) / 2
def law_of_blocks(w: Any, t: Terms) -> Any:  # each takes delta to delta gdp(log(1 + (e^epsilon - 1)/delta), mu)
    mus = cache(lambda bits: [mu for x in w for mu in [mu_of([{"pieces": [(0, x["steps"], x["shift"])]}], t)] * x["blocks"]])
    return (lambda: mus(ctx.prec)[0]), lambda epsilon, signs, up: reduce(lambda value, mu: LEAST * arb(0.5, 0.5)
        if value < LEAST else value * gdp((epsilon.expm1() / value).log1p(), mu), mus(ctx.prec), arb(1))
def scales(witness: Any, t: Terms) -> list[list[tuple[arb, arb]]]:  # chance and mu of what may have left, and of its stand-ins
    if "inner" in witness[0]:
        pairs = (pairwise([("", "1"), *witness[0][name]]) for name in ("inner", "outer"))
        return [[(ball(p) - ball(q), ball(x)) for (_, p), (x, q) in some] for some in pairs]
    mus = [entry["count"] * mu_of(entry["cases"], t) for entry in witness]
    older, weights = sum(mus[: t.q - 1], arb(0)), [ball(entry["weight"]) for entry in witness]
    newest = [(p, older + mu) for p, mu in zip(weights[t.q - 1:], mus[t.q - 1:], strict=True)]
    return [newest, newest] if t.v["placement"] == "random" or not t.own else [newest[:1], newest[1:]]
def law(witness: Any, t: Terms) -> Any:  # the largest mu; delta at an epsilon
    convex, pairs = witness[0].get("group", "tails") != "tails", cache(lambda bits: scales(witness, t)[0])
    return (lambda: reduce(arb.max, [mu for _, mu in pairs(ctx.prec)])), lambda epsilon, signs, up: sum(
        (p * gdp(epsilon, mu, convex) for p, mu in pairs(ctx.prec)), arb(0))
def law_of_draws(witness: Any, t: Terms) -> Any:
    """P: the average of N(mu_j, 1), R: N(-s, 1). With g = e^epsilon, if their ratio P/R, which increases, is surely at most g
    at x1 and at least g at x2, P(E) - g R(E) <= P(X > x1) - g R(X > x2) for any E; if at most 1/g at y1 and at least 1/g at y2,
    R(E) - g P(E) <= R(X < y2) - g P(X < y1). x2, y1 null: infinite. A class [begin, end) counts as its largest s."""
    sides: Any = cache(lambda bits: [[(p, mu / arb(2).sqrt()) for p, mu in some] for some in (  # (chance, mu/sqrt(2)) of the
        *scales(witness, t)[: 1 + t.stand_in], [(arb(1), arb(0))])][:2])  # leaver's batches, or what was listed; the stand-in's
    beyond: Any = cache(lambda x, way, bits: sum((p * (way * (at - a)).erfc()  # P(X > x), or P(X < x)
        for at in [ball(x) / arb(2).sqrt()] for p, a in sides(bits)[0]), arb(0)) / 2)
    def divergence(epsilon: arb, signs: Any, up: bool) -> arb:  # no smaller than the larger direction (up), or no larger
        (inner, outer), ends = sides(ctx.prec), [row[0] for row in signs]
        need(ends == sorted(set(ends)) and ends[-1:] == [len(outer)], "signs", ends, f"the ends of classes, up to {len(outer)}")
        g, root, forward, backward = epsilon.exp(), arb(2).sqrt(), arb(0), arb(0)
        for begin, (end, *places) in zip([0, *ends], signs, strict=False):
            part, s = sum((p for p, _ in outer[begin:end]), arb(0)), reduce(arb.max, [s for _, s in outer[begin:end]])
            x1, x2, y1, y2 = (None if place is None else ball(place) / root for place in places)
            if s == 0 and all(a == 0 for _, a in inner): continue  # nothing differs
            for x, level, below in ((x1, g, True), (x2, g, False), (y1, 1 / g, True), (y2, 1 / g, False)) if up else ():
                if x is not None:
                    ratio = sum((p * (a * (2 * x - a)).exp() for p, a in inner), arb(0)) * (s * (2 * x + s)).exp()
                    need(certain(ratio, level) if below else certain(level, ratio), "signs", places, "around the places of P/R")
            far, near = (x2, y2) if up else (x1, y1)
            forward += part * (beyond(places[0], 1, ctx.prec) - (0 if far is None else g * (far + s).erfc() / 2))
            lost = 0 if y1 is None else g * beyond(places[2], -1, ctx.prec)
            backward += 0 if near is None else part * ((-near - s).erfc() / 2 - lost)
        return forward.max(backward)
    def delta(epsilon: arb, signs: Any, up: bool) -> arb:
        p, redrawn = paid(t), t.v["redraw"]  # P <= (e^inside R + delta')/(1 - p), R <= e^inside P + delta' + e^inside p
        inside = epsilon + (-p).log1p() if redrawn else epsilon
        if not certain(arb(0), inside): return arb(1)
        value = divergence(inside, signs, up) + (inside.exp() * p if redrawn else p)
        return (value / (1 - p) if redrawn else value).min(arb(1))
    return (lambda: sum(reduce(arb.max, [a for _, a in part]) for part in sides(ctx.prec)) * arb(2).sqrt()), delta
def paid(t: Terms) -> arb:  # redrawn: the chance that a deleted record makes its batch too large; else that any is, at any time
    if t.limit is None or t.others <= t.limit: return arb(0)
    beyond = t.batches * tail(t.others, t.batches, t.limit + 1)
    p = sum(t.points) * (tail(t.others, t.batches, t.limit) - beyond / t.batches) / (1 - beyond) if t.v["redraw"] else beyond
    need(not t.v["redraw"] or certain(beyond.max(p), arb(1)), "inputs.redraw", True, "false: too large batches are the rule")
    return p
def tail(n: int, batches: int, least: int) -> arb:  # P(Bin(n, 1/batches) >= least), as a regularised incomplete beta function
    need(n <= 10**9 and least * batches > n, "inputs", least, f"more: batches of {least} of {n} records are the rule")
    return (arb(1) / batches).beta_lower(arb(least), arb(n - least + 1), True) if least <= n else arb(0)
def check_result(result: Any, v: Any, t: Terms, witness: Any) -> Iterator[str]:
    blocks = sum(row.get("blocks", 0) for row in witness)
    largest, delta = (law_of_draws if t.own else law_of_blocks if blocks else law)(witness, t)
    need((result["mu"] is None) == (blocks > 1), "result.mu", result["mu"], "null where blocks contract, and only there")
    if blocks <= 1: yield encloses(result["mu"], "result.mu", lambda x, up: (x, largest()))
    most = min(100, MOST_TERMS // max(blocks, len(witness[0].get("inner", "1"))) - 2)
    need(len(result["curve"]) <= most, "result.curve", len(result["curve"]), f"at most {most} points, or of fewer blocks")
    points = [(f"result.curve[{i}]", row["delta"], row["epsilon"], row.get("signs")) for i, row in enumerate(result["curve"])]
    points.insert(0, ("result", v["delta"], result["epsilon"], result.get("epsilon_signs")))
    if t.own:
        yield encloses(result["paid"], "result.paid, for batches that are too large,", lambda x, up: (x, paid(t)))
        rows = (len(result["delta_signs"]) + sum(len(signs) for *_, signs in points)) * len(witness[0].get("inner", witness))
        need(rows <= MOST_TERMS, "result", rows, f"at most {MOST_TERMS} pairs of components")
    yield encloses(result["delta"], "result.delta", lambda x, up: (x, delta(ball(v["epsilon"]), result.get("delta_signs"), up)))
    for field, at, pair, signs in points:
        need(0 < exact(at) < 1, f"{field}.delta", at, "above 0 and below 1")
        yield encloses(pair, f"{field}.epsilon at delta = {at}", lambda x, up: (ball(at), delta(x, signs, up)))  # noqa: B023
    for name in ("epsilon",) if t.own else ("epsilon", "delta"):  # what holds at a smaller epsilon holds at the claimed one
        need(exact(result[name][1]) <= exact(v[name]), f"result.{name}", result[name], f"at most {v[name]}, the claim")
digest: Any = lambda x: "sha256:" + hashlib.sha256(json.dumps(x, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
def check(data: bytes) -> Iterator[str]:  # a line for each verified fact; raises Refused at the first that fails
    try:
        need(len(data) <= LARGEST_FILE, "the length of the file", len(data), f"at most {LARGEST_FILE} bytes")
        once = lambda pairs: dict(pairs) if len(dict(pairs)) == len(pairs) else 'a key "twice"'
        cert = json.loads(data.decode("ascii"), object_pairs_hook=once)
        version: Any = cert.get("version") if type(cert) is dict else 0
        need(type(version) is int and version in SHAPES, "certificate.version", version, " or ".join(map(str, sorted(SHAPES))))
        conform(cert, SHAPES[version], "certificate")
        for name in (v := cert["inputs"]).keys() & {*"smoothness lipschitz step_size sigma radius delta".split(), *CLIPS[:3]}:
            need(v[name] is None or exact(v[name]) > 0, f"inputs.{name}", v[name], "above 0")
        t = (Steps if version == 4 else Terms)(v)
        size = f"; more than {t.limit} other records in a batch are too many" if t.limit is not None else ""
        yield f"structure: format {version}; {t.batches} {t.unit}; contraction c = {arb(1 - t.gap).str(20, radius=False)}{size}"
        texts, said = digest([cert["theorems"], cert["assumptions"], cert["limits"]]), statement(v, t)
        need(cert["statement"] == said, "statement", cert["statement"], repr(said))
        need(texts[7:39] == FIXED_TEXTS[version], "theorems, assumptions, limits", texts, f"those of format {version}")
        yield f"statement: belongs to these inputs; theorems, assumptions and limits: those of format {version}"
        yield from {4: check_blocks, 5: check_law, 6: check_law}.get(version, check_witness)(cert["witness"], t)
        yield from check_result(cert["result"], cert["inputs"], t, cert["witness"])
        content = cert | {"signature": None, "digests": cert["digests"] | {"content": ""}}
        for name, value in {"inputs": cert["inputs"], "content": content}.items():
            need(cert["digests"][name] == digest(value), f"digests.{name}", cert["digests"][name], digest(value))
            yield f"digest of the {name}: {cert['digests'][name]}"
    except (ValueError, ArithmeticError, TypeError, KeyError, IndexError, RecursionError, MemoryError) as error:
        raise Refused(f"malformed certificate: {type(error).__name__} {ascii(str(error))[:99]}") from error
if __name__ == "__main__":
    try:
        with open(sys.argv[1], "rb") as file: content = file.read(LARGEST_FILE + 1)  # never more, of whatever kind it is
        for fact in check(content): print("ok  " + fact)
        print("valid: " + json.loads(content)["statement"])
    except Refused as reason: sys.exit(print(f"REFUSED: {reason}") or 1)
    except (OSError, IndexError) as e: sys.exit(print(f"usage: python check.py certificate.json ({e})", file=sys.stderr) or 2)
