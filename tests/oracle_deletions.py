"""Independent high-precision oracle for deletions: schedules in phases, groups, streams and reshuffled batches.

It adds to oracle.py the explicit per-step arrays (and the brute-force mixtures over them) that the compressed
computations of the accountant must reproduce. It is slow on purpose: every step is an entry of a list, every law is
enumerated. Numbers are mpf at DIGITS decimal digits; floats are converted exactly. Run the file to check it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import combinations, product
from math import comb, prod
from typing import TypedDict

from mpmath import mp, mpf
from oracle import (
    DIGITS,
    Real,
    Schedule,
    _check,
    _mp,
    _named,
    batch_sizes,
    contraction,
    gdp_epsilon,
    gdp_mu,
    mixture_delta,
    mixture_epsilon,
    mu_exact,
    rdp_epsilon,
    taut_string,
    tracked,
    unrolled,
)

NEGLIGIBLE = 45  # converged learning: the first epoch unrolled is contracted by less than 10^-NEGLIGIBLE


class Phase(TypedDict):
    """Steps with one batch size; step_size and sigma have one entry for every step."""

    learn: bool
    batch_size: int
    steps: int
    step_size: Sequence[Real]
    sigma: Sequence[Real]


class Request(TypedDict):
    """One deletion request: the batch of each point that goes, and the steps run after it."""

    positions: Sequence[int]
    steps: int


@mp.workdps(DIGITS)
def sensitivity(*, step_size: Real, lipschitz: Real, size: int, adjacency: str) -> mpf:
    """h = 2 eta M / |B| (replace) or eta M / |B| (zero-out)."""
    return {"replace": 2, "zero-out": 1}[adjacency] * _mp(step_size) * _mp(lipschitz) / size


# One point, a schedule in phases


@mp.workdps(DIGITS)
def unrolled_phases(
    *, n: int, cell: int, phases: Sequence[Phase], lipschitz: Real, smoothness: Real, strong_convexity: Real, adjacency: str
) -> Schedule:
    """Contraction, sensitivity and noise variance 2 eta sigma^2 of every step, for the point at index `cell`.

    The batches of a phase are consecutive blocks of the one permutation, the last one shorter and kept. The cycle goes
    on from the phase before if that has the same batch size (even if it has no steps) and starts at batch 0 otherwise.
    """
    if not 0 <= cell < n:
        raise ValueError("0 <= cell < n")
    contractions: list[mpf] = []
    sensitivities: list[mpf] = []
    variances: list[mpf] = []
    batch, previous = 0, None
    for phase in phases:
        sizes = batch_sizes(n=n, batch_size=phase["batch_size"], last_batch="keep")
        if not len(phase["step_size"]) == len(phase["sigma"]) == phase["steps"]:
            raise ValueError("one step size and one sigma for every step")
        if phase["batch_size"] != previous:
            batch, previous = 0, phase["batch_size"]
        for eta, sigma in zip(phase["step_size"], phase["sigma"], strict=True):
            first = batch * phase["batch_size"]
            seen = phase["learn"] and first <= cell < first + sizes[batch]
            contractions.append(contraction(step_size=eta, smoothness=smoothness, strong_convexity=strong_convexity))
            sensitivities.append(
                sensitivity(step_size=eta, lipschitz=lipschitz, size=sizes[batch], adjacency=adjacency) if seen else mpf(0)
            )
            variances.append(2 * _mp(eta) * _mp(sigma) ** 2)
            batch = (batch + 1) % len(sizes)
    return contractions, sensitivities, variances


# Streams of requests


@mp.workdps(DIGITS)
def unrolled_stream(
    *,
    n: int,
    batch_size: int,
    learn_epochs: int,
    requests: Sequence[Request],
    step_size: Real,
    lipschitz: Real,
    smoothness: Real,
    strong_convexity: Real,
    adjacency: str,
) -> Schedule:
    """The arrays (sigma = 1) of learning, then every request and its steps, against the final dataset from the start.

    A point counts at the visits of its batch until it is deleted. The cycle goes on where it stopped.
    """
    sizes = batch_sizes(n=n, batch_size=batch_size, last_batch="keep")
    waiting = Counter(j for request in requests for j in request["positions"])  # present now, gone by the end
    if any(not 0 <= j < len(sizes) or many > sizes[j] for j, many in waiting.items()):
        raise ValueError("a deleted point is in no batch, or a batch has too many of them")
    units = [sensitivity(step_size=step_size, lipschitz=lipschitz, size=size, adjacency=adjacency) for size in sizes]
    sensitivities = [waiting[j] * units[j] for _ in range(learn_epochs) for j in range(len(sizes))]
    for request in requests:
        waiting.subtract(request["positions"])
        for _ in range(request["steps"]):
            batch = len(sensitivities) % len(sizes)
            sensitivities.append(waiting[batch] * units[batch])
    count = len(sensitivities)
    c = contraction(step_size=step_size, smoothness=smoothness, strong_convexity=strong_convexity)
    return [c] * count, sensitivities, [2 * _mp(step_size)] * count


def _batch_mean(*, data: Sequence[int], batch: int, batch_size: int) -> mpf:
    """The mean of the data of one block of the permutation."""
    block = data[batch * batch_size : (batch + 1) * batch_size]
    return mpf(sum(block)) / len(block)


@mp.workdps(DIGITS)
def gaussian_stream(
    *,
    n: int,
    batch_size: int,
    learn_epochs: int,
    requests: Sequence[Request],
    step_size: Real,
    lipschitz: Real,
    smoothness: Real,
    strong_convexity: Real,
    adjacency: str,
) -> tuple[mpf, mpf]:
    """Run the stream and its retraining on f(x; d) = m x^2 / 2 + M d x: (mean difference, common variance).

    The data are n explicit points: +1 if it will be deleted, then -1 (replace) or 0 (zero-out); 0 all the others.
    """
    if strong_convexity > smoothness:
        raise ValueError("m <= L")
    eta, m, lip = _mp(step_size), _mp(strong_convexity), _mp(lipschitz)
    after = {"replace": -1, "zero-out": 0}[adjacency]
    data, free, chosen = [0] * n, {}, []
    for request in requests:  # the next free index of the wanted block
        points = []
        for j in request["positions"]:
            points.append(free.get(j, j * batch_size))
            free[j] = points[-1] + 1
            if not 0 <= points[-1] < min((j + 1) * batch_size, n):
                raise ValueError("a deleted point is in no batch, or a batch has too many of them")
        chosen.append(points)
    for points in chosen:
        for point in points:
            data[point] = 1
    final = [after if d else 0 for d in data]
    batches = -(-n // batch_size)
    unlearned = retrained = variance = mpf(0)
    step = 0
    for points, steps in [
        ([], learn_epochs * batches),
        *((points, request["steps"]) for points, request in zip(chosen, requests, strict=True)),
    ]:
        for point in points:
            data[point] = after
        here = [_batch_mean(data=data, batch=j, batch_size=batch_size) for j in range(batches)]
        there = [_batch_mean(data=final, batch=j, batch_size=batch_size) for j in range(batches)]
        for _ in range(steps):
            unlearned -= eta * (m * unlearned + lip * here[step % batches])
            retrained -= eta * (m * retrained + lip * there[step % batches])
            variance = (1 - eta * m) ** 2 * variance + 2 * eta
            step += 1
    return unlearned - retrained, variance


# Groups


def group_placements(*, sizes: Sequence[int], group: int) -> Iterator[tuple[tuple[int, ...], Fraction]]:
    """Every (deleted points in each batch, its probability) of `group` points without replacement."""
    total = sum(sizes)
    if not 0 <= group <= total:
        raise ValueError("0 <= group <= n")

    def split(rest: Sequence[int], left: int) -> Iterator[tuple[int, ...]]:
        """The ways to put `left` points in the batches `rest`."""
        if not rest:
            yield ()
            return
        for here in range(max(0, left - sum(rest[1:])), min(rest[0], left) + 1):
            for others in split(rest[1:], left - here):
                yield here, *others

    for counts in split(sizes, group):
        yield counts, Fraction(prod(map(comb, sizes, counts)), comb(total, group))


@mp.workdps(DIGITS)
def group_arrays(
    *,
    n: int,
    batch_size: int,
    learn_epochs: int,
    counts: Sequence[int],
    steps: int,
    step_size: Real,
    lipschitz: Real,
    smoothness: Real,
    strong_convexity: Real,
    adjacency: str,
) -> Schedule:
    """The arrays (sigma = 1) of T epochs with counts[j] deleted points in batch j, then `steps` steps without them."""
    sizes = batch_sizes(n=n, batch_size=batch_size, last_batch="keep")
    if any(not 0 <= many <= size for many, size in zip(counts, sizes, strict=True)):
        raise ValueError("a batch has fewer points than are deleted")
    once = [
        many * sensitivity(step_size=step_size, lipschitz=lipschitz, size=size, adjacency=adjacency)
        for many, size in zip(counts, sizes, strict=True)
    ]
    sensitivities = once * learn_epochs + [mpf(0)] * steps
    c = contraction(step_size=step_size, smoothness=smoothness, strong_convexity=strong_convexity)
    return [c] * len(sensitivities), sensitivities, [2 * _mp(step_size)] * len(sensitivities)


@mp.workdps(DIGITS)
def group_mu_converged(
    *,
    n: int,
    batch_size: int,
    counts: Sequence[int],
    steps: int,
    step_size: Real,
    lipschitz: Real,
    smoothness: Real,
    strong_convexity: Real,
    adjacency: str,
) -> mpf:
    """mu at sigma = 1 after converged learning (c < 1), to about NEGLIGIBLE digits.

    The string starts at the exact stationary distance z = c^J z + sum_j h_j c^(J-1-j), so many epochs before the end of
    learning that what happened before them is negligible.
    """
    c = contraction(step_size=step_size, smoothness=smoothness, strong_convexity=strong_convexity)
    if c >= 1:
        raise ValueError("converged learning needs a contraction")
    batches = len(counts)
    epochs = 1 if c == 0 else 1 + int(mp.ceil(NEGLIGIBLE / (-batches * mp.log10(c))))
    line = group_arrays(
        n=n,
        batch_size=batch_size,
        learn_epochs=epochs,
        counts=counts,
        steps=steps,
        step_size=step_size,
        lipschitz=lipschitz,
        smoothness=smoothness,
        strong_convexity=strong_convexity,
        adjacency=adjacency,
    )
    epoch = {"contraction": line[0][:batches], "sensitivity": line[1][:batches]}
    gained = tracked(**epoch, start_distance=0, diameter=mp.inf)[-1]
    return taut_string(**_named(line, gained / (1 - c**batches)))


def _mixed(*, pairs: Sequence[tuple[Fraction, mpf]]) -> tuple[list[Fraction], list[mpf]]:
    """Weights and mus, those with the very same mu put together."""
    joined: dict[mpf, Fraction] = {}
    for weight, mu in pairs:
        joined[mu] = joined.get(mu, Fraction(0)) + weight
    return list(joined.values()), list(joined)


@mp.workdps(DIGITS)
def group_epsilon(
    *, sizes: Sequence[int], group: int, delta: Real, sigma: Real, mu_of: Callable[[tuple[int, ...]], Real]
) -> mpf:
    """The smallest epsilon of the mixture over all placements; mu_of(counts) is mu at sigma = 1."""
    pairs = [(chance, _mp(mu_of(counts)) / _mp(sigma)) for counts, chance in group_placements(sizes=sizes, group=group)]
    weights, mus = _mixed(pairs=pairs)
    return mixture_epsilon(delta=delta, weights=weights, mus=mus)


# A fresh permutation in every learning epoch


@mp.workdps(DIGITS)
def reshuffled_mixture(
    *,
    n: int,
    batch_size: int,
    learn_epochs: int,
    steps: int,
    step_size: Real,
    lipschitz: Real,
    smoothness: Real,
    strong_convexity: Real,
    adjacency: str,
) -> tuple[list[Fraction], list[mpf]]:
    """Probability, and mu at sigma = 1, of each of the J^T sequences of batches that hold the deleted point.

    The order is that of itertools.product, first learning epoch first. The `steps` steps have no sensitivity.
    """
    sizes = batch_sizes(n=n, batch_size=batch_size, last_batch="keep")
    c = contraction(step_size=step_size, smoothness=smoothness, strong_convexity=strong_convexity)
    units = [sensitivity(step_size=step_size, lipschitz=lipschitz, size=size, adjacency=adjacency) for size in sizes]
    count = learn_epochs * len(sizes) + steps
    weights, mus = [], []
    for sequence in product(range(len(sizes)), repeat=learn_epochs):
        line = [mpf(0)] * count
        for epoch, j in enumerate(sequence):
            line[epoch * len(sizes) + j] = units[j]
        weights.append(prod((Fraction(sizes[j], n) for j in sequence), start=Fraction(1)))
        mus.append(
            taut_string(contraction=[c] * count, sensitivity=line, variance=[2 * _mp(step_size)] * count, start_distance=0)
        )
    return weights, mus


# How many epochs a stream takes (full batch, converged learning)


@mp.workdps(DIGITS)
def stream_epochs(
    *,
    rule: str,
    requests: int,
    sigma: Real,
    epsilon: Real,
    delta: Real,
    n: int,
    step_size: Real,
    lipschitz: Real,
    smoothness: Real,
    strong_convexity: Real,
    adjacency: str = "replace",
    radius: Real = mp.inf,
) -> list[int]:
    """The fewest epochs after each of `requests` single deletions, each request as cheap as it can be in its turn.

    "optimal": Z c^K sqrt(1 - c^2) / (sqrt(2 eta) sigma) <= mu(epsilon, delta), K >= 0, without a radius.
    "paper": D_alpha = alpha Z^2 c^(2K) / (2 eta sigma^2) and the basic conversion, K >= 1.
    "paper-then-geometric": from the second request on D_alpha times (1 - c^2) / (1 - c^(2K)).
    Z grows by h / (1 - c) with every request (at most to 2R) and shrinks by c^K.
    """
    if rule not in ("optimal", "paper", "paper-then-geometric"):
        raise ValueError("rule is optimal, paper or paper-then-geometric")
    if rule == "optimal" and not mp.isinf(radius):
        raise ValueError("the closed form of the optimal rule does not hold at the cap 2R")
    eta, noise = _mp(step_size), _mp(sigma)
    c = contraction(step_size=step_size, smoothness=smoothness, strong_convexity=strong_convexity)
    if c >= 1:
        raise ValueError("converged learning needs a contraction")
    gained = sensitivity(step_size=step_size, lipschitz=lipschitz, size=n, adjacency=adjacency) / (1 - c)
    if rule == "optimal":
        largest_mu, log_inverse = gdp_mu(epsilon=epsilon, delta=delta), mpf(0)
    else:
        largest_mu, log_inverse = mpf(0), -mp.log(_mp(delta))
    spent: list[int] = []
    distance = mpf(0)
    for request in range(requests):
        distance = min(distance + gained, 2 * _mp(radius))
        epochs = 0 if rule == "optimal" else 1
        while True:
            left = distance * c**epochs
            if rule == "optimal":
                enough = left * mp.sqrt(1 - c * c) / (mp.sqrt(2 * eta) * noise) <= largest_mu
            else:
                rho = left**2 / (2 * eta * noise**2)  # D_alpha = rho alpha
                if rule == "paper-then-geometric" and request > 0:
                    rho *= (1 - c * c) / (1 - c ** (2 * epochs))
                enough = rho + 2 * mp.sqrt(rho * log_inverse) <= _mp(epsilon)
            if enough:
                break
            epochs += 1
        spent.append(epochs)
        distance = left
    return spent


# Self-checks


PROBLEM = {"step_size": 0.3, "lipschitz": 3.5, "smoothness": 2.0, "strong_convexity": 0.25}
N_MNIST = 11264
M_MNIST = Fraction(N_MNIST, 10**6)
MNIST = {
    "step_size": 1 / (Fraction(1, 4) + M_MNIST),
    "lipschitz": 1,
    "smoothness": Fraction(1, 4) + M_MNIST,
    "strong_convexity": M_MNIST,
    "adjacency": "replace",
}


def _same(left: Schedule, right: Schedule) -> None:
    """Two schedules agree to the last digits."""
    for one, other in zip(left, right, strict=True):
        assert all(abs(a - b) <= mpf("1e-57") * abs(b) for a, b in zip(one, other, strict=True))


def _phase(learn: bool, batch_size: int, steps: int, step_size: float = 0.3, sigma: float = 1.0) -> Phase:
    """A phase with constant parameters."""
    return {
        "learn": learn,
        "batch_size": batch_size,
        "steps": steps,
        "step_size": [step_size] * steps,
        "sigma": [sigma] * steps,
    }


def _gaussian_phases(n: int, cell: int, phases: Sequence[Phase], adjacency: str) -> tuple[mpf, mpf]:
    """Both processes on f(x; d) = m x^2 / 2 + M d x with one explicit list of the indices a step uses."""
    m, lip = _mp(PROBLEM["strong_convexity"]), _mp(PROBLEM["lipschitz"])
    after = {"replace": -1, "zero-out": 0}[adjacency]
    learned = retrained = variance = mpf(0)
    following, size = 0, None  # the next index of the permutation
    for phase in phases:
        following, size = (following if phase["batch_size"] == size else 0), phase["batch_size"]
        for eta, sigma in zip(map(_mp, phase["step_size"]), phase["sigma"], strict=True):
            block = range(following, min(following + size, n))
            following = 0 if block[-1] == n - 1 else following + size
            before = 1 if phase["learn"] else after
            learned -= eta * (m * learned + lip * sum(mpf(before) for i in block if i == cell) / len(block))
            retrained -= eta * (m * retrained + lip * sum(mpf(after) for i in block if i == cell) / len(block))
            variance = (1 - eta * m) ** 2 * variance + 2 * eta * _mp(sigma) ** 2
    return learned - retrained, variance


def _check_phases() -> None:
    """unrolled_phases: the constant schedule of oracle.py, splits of a phase, and a Gaussian run of a mixed one."""
    bounds = {name: PROBLEM[name] for name in ("lipschitz", "smoothness", "strong_convexity")}
    for adjacency in ("replace", "zero-out"):
        for cell in range(23):
            whole = unrolled_phases(
                n=23, cell=cell, phases=[_phase(True, 4, 42), _phase(False, 4, 5)], **bounds, adjacency=adjacency
            )
            _same(
                whole,
                unrolled(
                    n=23,
                    batch_size=4,
                    position=cell // 4,
                    learn_epochs=7,
                    steps=5,
                    **PROBLEM,
                    adjacency=adjacency,
                    last_batch="keep",
                ),
            )
            split = [_phase(True, 4, 5), _phase(True, 4, 37), _phase(False, 4, 2), _phase(False, 4, 3)]
            _same(whole, unrolled_phases(n=23, cell=cell, phases=split, **bounds, adjacency=adjacency))
            mixed: list[Phase] = [
                {**_phase(True, 4, 9), "step_size": [0.3 / (k + 1) for k in range(9)]},
                {**_phase(True, 4, 5), "sigma": [1 + k / 7 for k in range(5)]},
                _phase(True, 23, 3, 0.7, 0.2),
                _phase(True, 10, 8),
                _phase(True, 4, 6),
                _phase(False, 4, 3, 0.11),
                _phase(False, 7, 2, 0.5, 3.0),
            ]
            line = unrolled_phases(n=23, cell=cell, phases=mixed, **bounds, adjacency=adjacency)
            mean, variance = _gaussian_phases(23, cell, mixed, adjacency)
            lower = abs(mean) / mp.sqrt(variance)
            assert abs(mu_exact(**_named(line)) - lower) <= mpf("1e-50") * lower
            assert taut_string(**_named(line)) >= lower * (1 - mpf("1e-50"))
    steep = unrolled_phases(n=5, cell=0, phases=[_phase(True, 5, 1, 0.875)], **bounds, adjacency="replace")
    _check("c = |1 - eta L| of a long step", steep[0][0], 1 - 0.875 * 0.25)
    steep = unrolled_phases(n=5, cell=0, phases=[_phase(True, 5, 1, 0.9375)], **bounds, adjacency="replace")
    _check("  longer", steep[0][0], 0.875)
    print("phases: ok")


def _check_streams() -> None:
    """unrolled_stream against the Gaussian run, oracle.py and the closed form of section 5."""
    streams: list[list[Request]] = [
        [],
        [{"positions": [2], "steps": 5}],
        [{"positions": [], "steps": 3}, {"positions": [5, 5, 0], "steps": 0}],
        [{"positions": [0, 1], "steps": 2}, {"positions": [5], "steps": 7}, {"positions": [3, 3, 3], "steps": 1}],
        [{"positions": [j], "steps": (5 * j) % 4} for j in (4, 1, 1, 5, 0, 2)],
    ]
    for adjacency in ("replace", "zero-out"):
        for epochs in (0, 1, 6):
            for requests in streams:
                for n, size in ((23, 4), (22, 4), (18, 3), (24, 4)):
                    layout = {
                        "n": n,
                        "batch_size": size,
                        "learn_epochs": epochs,
                        "requests": requests,
                        **PROBLEM,
                        "adjacency": adjacency,
                    }
                    line, (mean, variance) = unrolled_stream(**layout), gaussian_stream(**layout)
                    lower = abs(mean) / mp.sqrt(variance) if mean else mpf(0)
                    assert abs(mu_exact(**_named(line)) - lower) <= mpf("1e-50") * lower
                    walk = tracked(contraction=line[0], sensitivity=line[1], start_distance=0, diameter=mp.inf)
                    assert abs(walk[-1] - abs(mean)) <= mpf("1e-50") * abs(mean)
        for j in range(6):
            line = unrolled_stream(
                n=23, batch_size=4, learn_epochs=7, requests=[{"positions": [j], "steps": 5}], **PROBLEM, adjacency=adjacency
            )
            _same(
                line,
                unrolled(
                    n=23, batch_size=4, position=j, learn_epochs=7, steps=5, **PROBLEM, adjacency=adjacency, last_batch="keep"
                ),
            )
    c = contraction(**{key: PROBLEM[key] for key in ("step_size", "smoothness", "strong_convexity")})
    h = sensitivity(step_size=0.3, lipschitz=3.5, size=5, adjacency="replace")
    positions, batches = [3, 0, 2, 2], 4  # whole epochs of four batches of five points
    distance, requests = mpf(0), []
    for j, epochs in zip(positions, (1, 2, 1, 3), strict=True):
        requests.append({"positions": [j], "steps": epochs * batches})
        distance = distance + h * c ** (batches - 1 - j) / (1 - c**batches)
        line = unrolled_stream(n=20, batch_size=5, learn_epochs=400, requests=requests, **PROBLEM, adjacency="replace")
        distance *= c ** (epochs * batches)
        _check(
            f"stream, {len(requests)} requests, closed form",
            taut_string(**_named(line)),
            distance * mp.sqrt((1 - c * c) / (2 * mpf(0.3))),
        )


def _check_groups() -> None:
    """Placements against all subsets, arrays against streams, converged mu against the closed form."""
    for sizes in ([3, 3, 2], [4], [2, 2, 2, 1]):
        owner = [j for j, size in enumerate(sizes) for _ in range(size)]
        for group in range(sum(sizes) + 1):
            law = dict(group_placements(sizes=sizes, group=group))
            assert sum(law.values()) == 1, "probabilities add up"
            subsets = Counter(
                tuple(list(map(owner.__getitem__, subset)).count(j) for j in range(len(sizes)))
                for subset in combinations(range(sum(sizes)), group)
            )
            assert law == {key: Fraction(many, comb(sum(sizes), group)) for key, many in subsets.items()}
    sizes, adjacency = [4, 4, 3], "replace"
    c = contraction(**{key: PROBLEM[key] for key in ("step_size", "smoothness", "strong_convexity")})
    units = [sensitivity(step_size=0.3, lipschitz=3.5, size=size, adjacency=adjacency) for size in sizes]
    layout = {"n": 11, "batch_size": 4, **PROBLEM, "adjacency": adjacency}
    for counts, _ in group_placements(sizes=sizes, group=4):
        where = [j for j, many in enumerate(counts) for _ in range(many)]
        for steps in (0, 1, 5):
            line = group_arrays(learn_epochs=6, counts=counts, steps=steps, **layout)
            _same(line, unrolled_stream(learn_epochs=6, requests=[{"positions": where, "steps": steps}], **layout))
            mu = group_mu_converged(counts=counts, steps=steps, **layout)
            late = taut_string(**_named(group_arrays(learn_epochs=500, counts=counts, steps=steps, **layout)))
            assert abs(mu / late - 1) < 1e-40
            assert taut_string(**_named(line)) <= mu * (1 + mpf("1e-40")), "a finite T is no worse"
            distance = sum(s * h * c ** (2 - j) for j, (s, h) in enumerate(zip(counts, units, strict=True)))
            chord = distance / (1 - c**3) * c**steps * mp.sqrt((1 - c * c) / (2 * mpf(0.3)))
            assert mu >= chord * (1 - mpf("1e-40")), "no less than mu_exact"
            if steps:  # N >= (J - 2) / 2
                assert abs(mu / chord - 1) < 1e-40, "the closed form is linear in the distance"

    def mu_of(counts: tuple[int, ...]) -> mpf:
        """Converged mu with two unlearning steps."""
        return group_mu_converged(counts=counts, steps=2, **layout)

    mus = [mu_of(tuple(int(i == j) for i in range(3))) for j in range(3)]
    _check(
        "a group of one",
        group_epsilon(sizes=sizes, group=1, delta=1e-5, sigma=2.0, mu_of=mu_of),
        mixture_epsilon(delta=1e-5, weights=[Fraction(size, 11) for size in sizes], mus=[mu / 2 for mu in mus]),
    )
    owner = [0] * 4 + [1] * 4 + [2] * 3  # the closed form is linear: add the mus of the members of every subset
    each = [sum(mus[owner[i]] for i in subset) / 2 for subset in combinations(range(11), 3)]
    _check(
        "a group of three",
        group_epsilon(sizes=sizes, group=3, delta=1e-5, sigma=2.0, mu_of=mu_of),
        mixture_epsilon(delta=1e-5, weights=[Fraction(1, len(each))] * len(each), mus=each),
    )
    _check(
        "everybody",
        group_epsilon(sizes=sizes, group=11, delta=1e-5, sigma=2.0, mu_of=mu_of),
        gdp_epsilon(delta=1e-5, mu=mu_of((4, 4, 3)) / 2),
    )
    for b, steps in ((512, 11), (N_MNIST, 3)):
        where = [0] * (N_MNIST // b - 1) + [1]
        mu = group_mu_converged(n=N_MNIST, batch_size=b, counts=where, steps=steps, **MNIST)
        eta, shrink = _mp(MNIST["step_size"]), 1 - _mp(MNIST["step_size"]) * _mp(M_MNIST)
        chord = 2 * eta / b / (1 - shrink ** len(where)) * shrink**steps * mp.sqrt((1 - shrink**2) / (2 * eta))
        _check(f"MNIST, b = {b}, last batch, {steps} steps", mu, chord)


def _check_reshuffled() -> None:
    """The mixture against single positions, all places of the point, and the bounds of section 5."""
    layout = {"n": 8, "batch_size": 3, **PROBLEM, "adjacency": "replace"}
    sizes = [3, 3, 2]
    weights, mus = reshuffled_mixture(learn_epochs=1, steps=4, **layout)
    assert weights == [Fraction(size, 8) for size in sizes]
    for j, mu in enumerate(mus):
        _check(
            f"one epoch, position {j}",
            mu,
            taut_string(**_named(unrolled(position=j, learn_epochs=1, steps=4, last_batch="keep", **layout))),
        )
    c = contraction(**{key: PROBLEM[key] for key in ("step_size", "smoothness", "strong_convexity")})
    units = [sensitivity(step_size=0.3, lipschitz=3.5, size=size, adjacency="replace") for size in sizes]
    for steps in (0, 1, 4):
        weights, mus = reshuffled_mixture(learn_epochs=3, steps=steps, **layout)
        assert sum(weights) == 1
        assert len(mus) == 27
        for mu, sequence in zip(mus, product(range(3), repeat=3), strict=True):
            distance = sum(units[j] * c ** (3 * (e - 1) + 2 - j) for e, j in enumerate(reversed(sequence), start=1))
            exact = distance * c**steps * mp.sqrt((1 - c * c) / (1 - c ** (2 * (9 + steps))) / (2 * mpf(0.3)))
            assert mu >= exact * (1 - mpf("1e-50")), "no less than mu_exact"
            if steps:
                always = distance * c**steps * mp.sqrt((1 - c * c) / (1 - c ** (2 * steps)) / (2 * mpf(0.3)))
                assert mu <= always * (1 + mpf("1e-50")), "no more than the always feasible form"
            if len(set(sequence)) == 1:
                same = unrolled(position=sequence[0], learn_epochs=3, steps=steps, last_batch="keep", **layout)
                assert abs(taut_string(**_named(same)) / mu - 1) < 1e-50
    delta = mpf(0)
    for places in product(range(8), repeat=3):  # where the point is in the permutation of each epoch
        line = [h for place in places for h in [units[j] if place // 3 == j else mpf(0) for j in range(3)]] + [mpf(0)] * 4
        mu = taut_string(contraction=[c] * 13, sensitivity=line, variance=[2 * mpf(0.3)] * 13, start_distance=0)
        delta += mixture_delta(epsilon=0.5, weights=[1], mus=[mu]) / 512
    _check("all places", mixture_delta(epsilon=0.5, weights=weights, mus=mus), delta)


def _check_stream_epochs() -> None:
    """Section 6, and the promise of every request recomputed from the whole unrolled stream."""
    fixed = {"sigma": 0.03, "epsilon": 1, "delta": Fraction(1, N_MNIST), "n": N_MNIST, **MNIST}
    for rule, total in (("paper", 1786), ("paper-then-geometric", 887), ("optimal", 358)):
        _check(f"100 requests, {rule}", sum(stream_epochs(rule=rule, requests=100, **fixed)), total, 0)
    spent = stream_epochs(rule="optimal", requests=6, **fixed)
    for count in range(1, 7):
        met = []
        for less in (0, 1):
            steps = [*spent[: count - 1], spent[count - 1] - less]
            if steps[-1] < 0:
                continue
            line = unrolled_stream(
                n=N_MNIST,
                batch_size=N_MNIST,
                learn_epochs=2500,
                **MNIST,
                requests=[{"positions": [0], "steps": k} for k in steps],
            )
            met.append(gdp_epsilon(delta=fixed["delta"], mu=taut_string(**_named(line)) / mpf(0.03)) <= 1)
        assert met == [True, False][: len(met)], "the fewest epochs, by the whole string"
    print("optimal, first requests:", spent)
    c = contraction(**{key: MNIST[key] for key in ("step_size", "smoothness", "strong_convexity")})
    eta = _mp(MNIST["step_size"])
    spent, distance = stream_epochs(rule="paper", requests=4, radius=0.01, **fixed), mpf(0)
    for count in spent:
        distance = min(distance + 2 * eta / N_MNIST / (1 - c), 2 * mpf(0.01))
        kind = {"weights": [1], "delta": fixed["delta"], "family": "linear", "conversion": "basic"}
        needed = [rdp_epsilon(rhos=[(distance * c**k) ** 2 / (2 * eta * mpf(0.03) ** 2)], **kind) for k in (count, count - 1)]
        assert needed[0] <= 1 < needed[1], "the optimum over the order, with a radius that matters"
        distance *= c**count
    print("paper, R = 0.01:", spent)


def _check_caveats() -> None:
    """Statements of the description that need a condition it does not repeat where they stand: counterexamples."""
    # A capped distance in the converged closed form. n = b = 1, eta = 1/2, m = 1/5, R = 1, per-step noise 0.1, M = 100:
    # the drift (50 a step) pins both processes to -R and +R, exactly up to e^(-100000). After one step they are
    # N(-/+0.9, 0.01) clamped to [-1, 1], told apart by the sign of x.
    c, noise = mpf("0.9"), mpf("0.1")
    claimed = 2 * c * mp.sqrt(1 - c * c) / noise
    errors = mp.erfc(c / noise / mp.sqrt(2))  # type I plus type II of the test x > 0
    promised = mp.erfc(claimed / 2 / mp.sqrt(2))  # the least sum that mu-GDP allows
    print("capped: error sum", mp.nstr(errors, 5), "promised at least", mp.nstr(promised, 5))
    assert errors < promised, "Z = 2R in Z c^N sqrt(1 - c^2) / nu is not a valid mu"
    _check("  the restart's 2R c / nu is met", errors, 2 * mp.ncdf(-(2 * c / noise) / 2))
    # A long step, eta (L + m) > 2, c = eta L - 1 = 0.9: the Gaussian instance cannot have this factor with this sign.
    visits = [mpf(int(k % 3 == 2)) for k in range(9)]
    unit = [mpf(1)] * 9
    spread = mp.fsum(mpf("0.81") ** k for k in range(9))
    signed = abs(mp.fsum(h * mpf("-0.9") ** (8 - k) for k, h in enumerate(visits))) / mp.sqrt(spread)
    exact = mu_exact(**_named(([c] * 9, visits, unit)))
    print("long step: quadratic of curvature L", mp.nstr(signed, 8), "mu_exact", mp.nstr(exact, 8))
    assert signed < exact, "mu_exact is not attained"
    # Not convex, c = 1.5, batches 3, 3, 3, 1, two points: the last batch and the one before it are not the worst.
    mus = []
    for once in ([0, 0, 1, 3], [1, 0, 0, 3]):  # sensitivities: one point in the last batch has three times the weight
        line = list(map(mpf, once * 3 + [0] * 5))
        mus.append(taut_string(contraction=[1.5] * 17, sensitivity=line, variance=[1] * 17, start_distance=0))
    print("c = 1.5: last two batches", mp.nstr(mus[0], 8), "first and last", mp.nstr(mus[1], 8))
    assert mus[1] > mus[0], "filling from the last batch on is not the worst placement"
    # A request that needs no steps, J = 6, c = 0.9 (eta = 1/2, m = 1/5, L = 2): the newest point in the last batch.
    steep = {"step_size": 0.5, "lipschitz": 1, "smoothness": 2, "strong_convexity": Fraction(1, 5)}
    line = unrolled_stream(
        n=24, batch_size=4, learn_epochs=170, requests=[{"positions": [5], "steps": 0}], **steep, adjacency="replace"
    )
    h = line[1][-1]  # noise 1; f of curvature L = 1/eta forgets everything before the last step, so mu = h is attained
    closed = h / (1 - c**6) * mp.sqrt(1 - c * c)
    taut = taut_string(**_named(line))
    print("no steps: closed form", mp.nstr(closed, 8), "attained", mp.nstr(h, 8), "string", mp.nstr(taut, 8))
    assert closed < h <= taut, "the closed form of a stream is not valid below (J - 2) / 2 steps"
    # A short last batch and a request in the middle of an epoch: the law of the newest distance is another one.
    half = {"step_size": 0.5, "lipschitz": 2, "smoothness": 2, "strong_convexity": 1, "adjacency": "replace"}
    sizes, c, scale = [8, 3], mpf("0.5"), mp.sqrt(1 - mpf("0.25"))
    weights = [Fraction(size, 11) for size in sizes]
    old = mpf(2) / 3 / (1 - c**2) * c**41  # the worst position, 41 steps ago
    ends = [(old + mpf(2) / size / (1 - c**2) * c ** (1 - j)) * c**2 * scale for j, size in enumerate(sizes)]
    truth = [
        taut_string(
            **_named(
                unrolled_stream(
                    n=11,
                    batch_size=8,
                    learn_epochs=80,
                    **half,
                    requests=[{"positions": [0], "steps": 41}, {"positions": [j], "steps": 2}],
                )
            )
        )
        for j in range(2)
    ]
    deltas = [mixture_delta(epsilon=0.001, weights=weights, mus=mus) for mus in (ends, truth)]
    print("short last batch after 41 steps: w_j = c^(J-1-j) gives", mp.nstr(deltas[0], 8), "truth", mp.nstr(deltas[1], 8))
    assert deltas[1] > deltas[0], "positions must be counted from where the cycle stopped"
    lower = [
        mu_exact(
            **_named(
                unrolled_stream(
                    n=11,
                    batch_size=8,
                    learn_epochs=80,
                    **half,
                    requests=[{"positions": [0], "steps": 41}, {"positions": [j], "steps": 2}],
                )
            )
        )
        for j in range(2)
    ]
    assert all(abs(a / b - 1) < 1e-40 for a, b in zip(truth, lower, strict=True)), "and the truth is attained"


@mp.workdps(DIGITS)
def self_check() -> None:
    """Compare the functions with each other, with oracle.py and with the reference values."""
    _check_phases()
    _check_streams()
    _check_groups()
    _check_reshuffled()
    _check_stream_epochs()
    _check_caveats()


if __name__ == "__main__":
    self_check()
