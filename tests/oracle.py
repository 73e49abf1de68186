"""An independent high-precision oracle for the accountant: slow, plain, sharing no code with the package.

Everything is mpmath at DIGITS decimal digits; Python floats are converted exactly. Section numbers are those
of the mathematical description of the accountant. Run the file to check it against the reference values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

from mpmath import mp, mpf

DIGITS = 60

Real = float | int | Fraction | mpf
Reals = Sequence[Real]
Schedule = tuple[list[mpf], list[mpf], list[mpf]]


def _mp(value: Real) -> mpf:
    """The exact value of a float or int, a Fraction to working precision."""
    return mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else mp.mpf(value)


# Section 2: the engine


@mp.workdps(DIGITS)
def contraction(*, step_size: Real, smoothness: Real, strong_convexity: Real) -> mpf:
    """c = max(|1 - eta m|, |1 - eta L|)."""
    eta = _mp(step_size)
    return max(abs(1 - eta * _mp(strong_convexity)), abs(1 - eta * _mp(smoothness)))


def batch_sizes(*, n: int, batch_size: int, last_batch: str) -> list[int]:
    """The sizes |B_0|, ..., |B_{J-1}|: "keep" a short last batch (with its own divisor) or "drop" it."""
    if last_batch not in ("keep", "drop") or not 0 < batch_size <= n:
        raise ValueError("last_batch is keep or drop, and 0 < batch_size <= n")
    whole, rest = divmod(n, batch_size)
    return [batch_size] * whole + ([rest] if rest and last_batch == "keep" else [])


@mp.workdps(DIGITS)
def unrolled(
    *,
    n: int,
    batch_size: int,
    position: int,
    learn_epochs: int,
    steps: int,
    step_size: Real,
    smoothness: Real,
    strong_convexity: Real,
    lipschitz: Real,
    adjacency: str,
    last_batch: str,
) -> Schedule:
    """Contraction, sensitivity, noise variance at sigma = 1 of T learning epochs, then `steps` steps."""
    sizes = batch_sizes(n=n, batch_size=batch_size, last_batch=last_batch)
    if adjacency not in ("replace", "zero-out") or not 0 <= position < len(sizes):
        raise ValueError("adjacency is replace or zero-out, and 0 <= position < number of batches")
    eta = _mp(step_size)
    h = (2 if adjacency == "replace" else 1) * eta * _mp(lipschitz) / sizes[position]
    sensitivity = [h if j == position else mpf(0) for _ in range(learn_epochs) for j in range(len(sizes))]
    sensitivity += [mpf(0)] * steps
    c = contraction(step_size=step_size, smoothness=smoothness, strong_convexity=strong_convexity)
    return [c] * len(sensitivity), sensitivity, [2 * eta] * len(sensitivity)


def _points(contraction: Reals, sensitivity: Reals, variance: Reals, start: Real) -> tuple[list[mpf], list[mpf]]:
    """t_k = sum_{i<=k} W_i^2 nu_i^2, S_k = W_0 z_0 + sum_{i<=k} W_i h_i, k = 0..N; W_k = c_{k+1} ... c_N."""
    count = len(contraction)
    if not len(sensitivity) == len(variance) == count:
        raise ValueError("one contraction, sensitivity and variance for every step")
    weight = [mpf(1)] * (count + 1)
    for k in range(count - 1, -1, -1):
        weight[k] = weight[k + 1] * _mp(contraction[k])
    times, sums = [mpf(0)], [weight[0] * _mp(start)]
    for k in range(1, count + 1):
        times.append(times[-1] + weight[k] ** 2 * _mp(variance[k - 1]))
        sums.append(sums[-1] + weight[k] * _mp(sensitivity[k - 1]))
    return times, sums


def _extra_digits(contraction: Reals) -> int:
    """Digits that sums of weights up to prod max(c, 1/c)^2 apart can lose."""
    return 10 + int(2 * sum(abs(mp.log10(_mp(c))) for c in contraction if c != 0))


def taut_string(*, contraction: Reals, sensitivity: Reals, variance: Reals, start_distance: Real) -> mpf:
    """The smallest mu of the theorem: greatest convex minorant of (0, 0), (t_1, S_1), ..., (t_N, S_N)."""
    with mp.workdps(DIGITS + _extra_digits(contraction)):
        times, sums = _points(contraction, sensitivity, variance, start_distance)
        hull = [(mpf(0), mpf(0))]
        for point in zip(times[1:], sums[1:], strict=True):
            if point[0] == hull[-1][0]:  # no noise in between: A cannot move and the lower (earlier) S binds
                continue
            while len(hull) > 1:  # drop the last vertex unless it lies strictly below the new chord
                (t0, s0), (t1, s1) = hull[-2:]
                if (s1 - s0) * (point[0] - t0) < (point[1] - s0) * (t1 - t0):
                    break
                hull.pop()
            hull.append(point)
        if hull[-1][1] != sums[-1]:  # what is added after the last noise can never be shifted away
            return mp.inf
        return mp.sqrt(mp.fsum((s1 - s0) ** 2 / (t1 - t0) for (t0, s0), (t1, s1) in pairwise(hull)))


def mu_exact(*, contraction: Reals, sensitivity: Reals, variance: Reals, start_distance: Real) -> mpf:
    """S_N / sqrt(t_N): the lower bound that no valid accountant can beat."""
    with mp.workdps(DIGITS + _extra_digits(contraction)):
        times, sums = _points(contraction, sensitivity, variance, start_distance)
        return mpf(0) if sums[-1] == 0 else mp.inf if times[-1] == 0 else sums[-1] / mp.sqrt(times[-1])


@mp.workdps(DIGITS)
def tracked(*, contraction: Reals, sensitivity: Reals, start_distance: Real, diameter: Real) -> list[mpf]:
    """z_0, ..., z_N with z_k = min(D, c_k z_{k-1} + h_k)."""
    distances = [min(_mp(diameter), _mp(start_distance))]
    for c, h in zip(contraction, sensitivity, strict=True):
        distances.append(min(_mp(diameter), _mp(c) * distances[-1] + _mp(h)))
    return distances


def taut_string_with_diameter(
    *, contraction: Reals, sensitivity: Reals, variance: Reals, start_distance: Real, diameter: Real
) -> mpf:
    """The smallest mu over the ordinary start and restarts wherever the tracked distance is the diameter."""
    distances = tracked(contraction=contraction, sensitivity=sensitivity, start_distance=start_distance, diameter=diameter)
    starts = [k for k, z in enumerate(distances) if k == 0 or z == _mp(diameter)]
    return min(
        taut_string(
            contraction=contraction[k:], sensitivity=sensitivity[k:], variance=variance[k:], start_distance=distances[k]
        )
        for k in starts
    )


@mp.workdps(DIGITS)
def gaussian_instance(
    *,
    n: int,
    batch_size: int,
    position: int,
    learn_epochs: int,
    steps: int,
    step_size: Real,
    strong_convexity: Real,
    lipschitz: Real,
    adjacency: str,
    last_batch: str,
    sigma: Real = 1,
) -> tuple[mpf, mpf, mpf]:
    """Run f(x; d) = m x^2 / 2 + M d x for both processes: (mean difference, common variance, mu)."""
    sizes = batch_sizes(n=n, batch_size=batch_size, last_batch=last_batch)
    eta, m, lip = _mp(step_size), _mp(strong_convexity), _mp(lipschitz)
    after = {"replace": -1, "zero-out": 0}[adjacency]  # the deleted point is +1, every other point is 0
    learned = retrained = variance = mpf(0)
    for k in range(learn_epochs * len(sizes) + steps):
        batch = k % len(sizes)
        here = 1 if batch == position else 0
        point = 1 if k < learn_epochs * len(sizes) else after
        learned = learned - eta * (m * learned + lip * mpf(here * point) / sizes[batch])
        retrained = retrained - eta * (m * retrained + lip * mpf(here * after) / sizes[batch])
        variance = (1 - eta * m) ** 2 * variance + 2 * eta * _mp(sigma) ** 2
    return learned - retrained, variance, abs(learned - retrained) / mp.sqrt(variance)


# Section 3: from mu to (epsilon, delta)


def _weights(weights: Reals) -> list[mpf]:
    """Probabilities, float rounding divided out; a point that may be in no batch needs a component mu = 0."""
    values = [_mp(w) for w in weights]
    if min(values) < 0 or abs(mp.fsum(values) - 1) > mpf("1e-9"):
        raise ValueError("weights must be probabilities that add up to one")
    return [w / mp.fsum(values) for w in values]


def _upper(x: mpf) -> mpf:
    """P(N(0, 1) > x)."""
    return mp.erfc(x / mp.sqrt(2)) / 2


def _digits(eps: mpf, mu: mpf) -> int:
    """Working digits for a difference of tails: the size of the exponents, and the agreement of the terms."""
    size = int(mp.ceil(mp.log10(2 + eps / mu + mu)))
    return DIGITS + 20 + 3 * size + max(0, -int(mp.floor(mp.log10(mu))))


def _log_mixture(eps: mpf, weights: Sequence[mpf], mus: Sequence[mpf]) -> mpf:
    """log sum_j w_j delta(eps; mu_j), through log1p of the complement when delta is above one half."""
    if eps < 0 or min(mus) < 0:
        raise ValueError("epsilon and mu must not be negative")
    delta, complement = mpf(0), mpf(0)
    with mp.workdps(DIGITS + 20):
        for w, mu in zip(weights, mus, strict=True):
            if mu == 0 or mp.isinf(eps):
                complement += w
            elif mp.isinf(mu):
                delta += w
            else:
                with mp.workdps(_digits(eps, mu)):
                    near, far = eps / mu - mu / 2, mp.exp(eps) * _upper(eps / mu + mu / 2)
                    tail, rest = _upper(near) - far, _upper(-near) + far
                delta, complement = delta + w * tail, complement + w * rest
        if delta == 0:
            return -mp.inf
        return mp.log(delta) if delta < 0.5 else mp.log1p(-complement)


@mp.workdps(DIGITS)
def mixture_log_delta(*, epsilon: Real, weights: Reals, mus: Reals) -> mpf:
    """log of sum_j w_j delta(epsilon; mu_j)."""
    return +_log_mixture(_mp(epsilon), _weights(weights), [_mp(mu) for mu in mus])


def gdp_log_delta(*, epsilon: Real, mu: Real) -> mpf:
    """log of delta(epsilon; mu) = Phi(-eps/mu + mu/2) - e^eps Phi(-eps/mu - mu/2)."""
    return mixture_log_delta(epsilon=epsilon, weights=[1], mus=[mu])


@mp.workdps(DIGITS)
def gdp_log_delta_integral(*, epsilon: Real, mu: Real) -> mpf:
    """The same without erfc: phi(a) int_0^inf e^(-a t - t^2/2) (1 - e^(-mu t)) dt, a = eps/mu - mu/2."""
    eps, mu = _mp(epsilon), _mp(mu)
    with mp.workdps(_digits(eps, mu)):  # a^2 / 2 must be known to an absolute error
        a = eps / mu - mu / 2
        log_phi = -a * a / 2 - mp.log(2 * mp.pi) / 2
    scale, peak = max(mpf(1), a), max(mpf(0), -a)  # t = u / scale: unit decay, or a Gaussian bump around -a
    low, high = max(mpf(0), peak - 20), peak + (200 if a > 1 else 20)
    with mp.workdps(DIGITS + 20 + int(2 * mp.log10(1 + peak))):

        def integrand(u: mpf) -> mpf:
            t = u / scale
            return mp.exp(-a * t - t * t / 2 - peak * peak / 2) * -mp.expm1(-mu * t) / scale

        value = mp.quad(integrand, mp.linspace(low, high, int(high - low) + 2))
        return log_phi + peak * peak / 2 + mp.log(value)


@mp.workdps(DIGITS)
def gdp_delta(*, epsilon: Real, mu: Real) -> mpf:
    """delta(epsilon; mu)."""
    return mp.exp(gdp_log_delta(epsilon=epsilon, mu=mu))


@mp.workdps(DIGITS)
def mixture_delta(*, epsilon: Real, weights: Reals, mus: Reals) -> mpf:
    """sum_j w_j delta(epsilon; mu_j)."""
    return mp.exp(mixture_log_delta(epsilon=epsilon, weights=weights, mus=mus))


def _solve(function: Callable[[mpf], mpf]) -> mpf:
    """The zero of an increasing function: bracket, bisect, then Illinois and bisection steps."""
    low, high = mpf(-1), mpf(1)
    while function(low) > 0:
        low *= 2
    while function(high) < 0:
        high *= 2
    f_low, f_high = function(low), function(high)
    for count in range(4 * mp.prec):
        if high - low <= mpf(10) ** (-mp.dps * 5 // 6) * max(1, abs(low)):
            break
        middle = (low + high) / 2
        if count > 12 and count % 5:
            middle = (low * f_high - high * f_low) / (f_high - f_low)
        value = function(middle)
        if value == 0:
            return middle
        if value < 0:
            low, f_low, f_high = middle, value, f_high / 2
        else:
            high, f_high, f_low = middle, value, f_low / 2
    return (low + high) / 2


@mp.workdps(DIGITS)
def mixture_epsilon(*, delta: Real, weights: Reals, mus: Reals) -> mpf:
    """The smallest epsilon >= 0 with sum_j w_j delta(epsilon; mu_j) <= delta."""
    probabilities, values, target = _weights(weights), [_mp(mu) for mu in mus], _mp(delta)
    if target >= 1 or _log_mixture(mpf(0), probabilities, values) <= mp.log(target):
        return mpf(0)
    if target <= mp.fsum(w for w, mu in zip(probabilities, values, strict=True) if mp.isinf(mu)):
        return mp.inf
    return mp.exp(_solve(lambda x: mp.log(target) - _log_mixture(mp.exp(x), probabilities, values)))


def gdp_epsilon(*, delta: Real, mu: Real) -> mpf:
    """The smallest epsilon >= 0 with delta(epsilon; mu) <= delta."""
    return mixture_epsilon(delta=delta, weights=[1], mus=[mu])


@mp.workdps(DIGITS)
def gdp_mu(*, epsilon: Real, delta: Real) -> mpf:
    """The largest mu with delta(epsilon; mu) <= delta."""
    if delta <= 0 or delta >= 1:
        return mpf(0) if delta <= 0 else mp.inf
    eps, target = _mp(epsilon), mp.log(_mp(delta))
    return mp.exp(_solve(lambda x: _log_mixture(eps, [mpf(1)], [mp.exp(x)]) - target))


@mp.workdps(DIGITS)
def sigma_optimal(*, weights: Reals, mus_at_sigma_one: Reals, epsilon: Real, delta: Real) -> mpf:
    """The smallest sigma with sum_j w_j delta(epsilon; mu_j / sigma) <= delta."""
    chances, values = _weights(weights), [_mp(mu) for mu in mus_at_sigma_one]
    if delta >= 1 or max(values) == 0:
        return mpf(0)
    eps, target = _mp(epsilon), mp.log(_mp(delta))
    return mp.exp(_solve(lambda x: target - _log_mixture(eps, chances, [v * mp.exp(-x) for v in values])))


@mp.workdps(2 * DIGITS)
def gdp_tradeoff(*, type_i: Real, mu: Real) -> mpf:
    """Phi(Phi^{-1}(1 - type_i) - mu)."""
    alpha = _mp(type_i)
    if alpha <= 0 or alpha >= 1:
        return mpf(1 if alpha <= 0 else 0)
    return _upper(
        _mp(mu) - _solve(lambda x: mp.log(alpha) - mp.log(_upper(x)) if alpha < 0.5 else mp.log(_upper(-x)) - mp.log1p(-alpha))
    )


@mp.workdps(2 * DIGITS)
def mixture_tradeoff(*, type_i: Real, weights: Reals, mus: Reals) -> mpf:
    """Least type II error when the component is seen: one likelihood-ratio threshold for all components."""
    alpha, pairs = _mp(type_i), list(zip(_weights(weights), [_mp(mu) for mu in mus], strict=True))
    if mp.inf in mus:
        raise ValueError("every mu must be finite")
    blind, seeing = mp.fsum(w for w, mu in pairs if mu == 0), [(w, mu) for w, mu in pairs if mu > 0]
    if alpha <= 0 or alpha >= 1 or not seeing:
        return min(mpf(1), max(mpf(0), 1 - alpha))
    scale = max(mu for _, mu in seeing)

    def mass(side: int, law: int, t: mpf) -> mpf:
        """P(log ratio > t) (side 1) or < t (side -1) under the null (law 1) or the alternative (law -1)."""
        return mp.fsum(w * _upper(side * (t / mu + law * mu / 2)) for w, mu in seeing)

    at_zero = mass(1, 1, mpf(0))
    if at_zero <= alpha <= at_zero + blind:  # components with mu = 0 are decided by a coin
        return mass(-1, -1, mpf(0)) + blind + at_zero - alpha
    if alpha < at_zero:
        return blind + mass(-1, -1, scale * _solve(lambda u: mp.log(alpha) - mp.log(mass(1, 1, u * scale))))
    return mass(-1, -1, scale * _solve(lambda u: mp.log(mass(-1, 1, u * scale)) - mp.log1p(-alpha)))


# Section 3: Renyi


def _log_mean_exp(weights: Sequence[mpf], exponents: Sequence[mpf]) -> mpf:
    """log sum_j w_j exp(x_j), exact for tiny and for huge exponents."""
    top = max(exponents)
    if top < 1:
        return mp.log1p(mp.fsum(w * mp.expm1(x) for w, x in zip(weights, exponents, strict=True)))
    return top + mp.log(mp.fsum(w * mp.exp(x - top) for w, x in zip(weights, exponents, strict=True)))


def _log_moment(order: mpf, weights: Sequence[mpf], rhos: Sequence[mpf], family: str) -> mpf:
    """(alpha - 1) D_alpha with alpha = 1 + order."""
    if family not in ("linear", "not-converged"):
        raise ValueError("family is linear or not-converged")
    alpha = 1 + order
    factor = order * alpha if family == "linear" else (alpha - mpf(1) / 2) * 2 * alpha
    return _log_mean_exp(weights, [factor * rho for rho in rhos])


@mp.workdps(DIGITS)
def mixture_rdp(*, alpha: Real, weights: Reals, mus: Reals) -> mpf:
    """1/(alpha - 1) log sum_j w_j exp((alpha - 1) alpha mu_j^2 / 2)."""
    order, rhos = _mp(alpha) - 1, [_mp(mu) ** 2 / 2 for mu in mus]
    return _log_moment(order, _weights(weights), rhos, "linear") / order


def _cost(order: mpf, conversion: str) -> mpf:
    """(alpha - 1) epsilon = (alpha - 1) D_alpha + log(1 / delta) + cost: 0, or that of Canonne et al."""
    if conversion not in ("basic", "improved"):
        raise ValueError("conversion is basic or improved")
    alpha = 1 + order
    return mpf(0) if conversion == "basic" else -order * mp.log1p(1 / order) - mp.log(alpha)


def _minimum(function: Callable[[mpf], mpf]) -> mpf:
    """min over alpha - 1 > 0, quasi-convex: scan powers of ten, then ternary search in the logarithm."""
    exponents = [mpf(k) for k in range(-80, 81, 4)]
    values = [function(10**x) for x in exponents]
    best = values.index(min(values))
    low, high = exponents[max(0, best - 1)], exponents[min(len(exponents) - 1, best + 1)]
    while high - low > mpf(10) ** (-DIGITS * 3 // 5):
        left, right = (2 * low + high) / 3, (low + 2 * high) / 3
        low, high = (low, right) if function(10**left) < function(10**right) else (left, high)
    return function(10 ** ((low + high) / 2))


@mp.workdps(2 * DIGITS)
def rdp_epsilon(*, delta: Real, weights: Reals, rhos: Reals, family: str, conversion: str) -> mpf:
    """min over real alpha > 1 of the epsilon that the conversion gives, not below 0."""
    probabilities, values, log_inverse = _weights(weights), [_mp(rho) for rho in rhos], -mp.log(_mp(delta))
    if log_inverse <= 0 or max(values) == 0:
        return mpf(0)
    return max(
        mpf(0),
        _minimum(
            lambda order: (_log_moment(order, probabilities, values, family) + log_inverse + _cost(order, conversion)) / order
        ),
    )


@mp.workdps(2 * DIGITS)
def rdp_log_delta(*, epsilon: Real, weights: Reals, rhos: Reals, family: str, conversion: str) -> mpf:
    """min over real alpha > 1 of the log delta that the conversion gives, not above 0."""
    probabilities, values, eps = _weights(weights), [_mp(rho) for rho in rhos], _mp(epsilon)
    if max(values) == 0:
        return -mp.inf
    return min(
        mpf(0),
        _minimum(lambda order: _log_moment(order, probabilities, values, family) - order * eps + _cost(order, conversion)),
    )


@mp.workdps(2 * DIGITS)
def rdp_delta(*, epsilon: Real, weights: Reals, rhos: Reals, family: str, conversion: str) -> mpf:
    """The inverse of rdp_epsilon: the smallest delta over alpha, at most 1."""
    return mp.exp(rdp_log_delta(epsilon=epsilon, weights=weights, rhos=rhos, family=family, conversion=conversion))


# Section 4: the published bounds on D_alpha; `batches` is n / b (a real number), `radius` may be infinite


def _published(alpha: Real, distance: mpf, sigma: Real, step_size: Real, unlearning: Real) -> mpf:
    """alpha Z^2 / (2 eta sigma^2), with the published denominator."""
    if unlearning <= 0:
        raise ValueError("the published bounds need an unlearning step")
    return _mp(alpha) * distance**2 / (2 * _mp(step_size) * _mp(sigma) ** 2)


@mp.workdps(DIGITS)
def paper_position(
    *,
    alpha: Real,
    sigma: Real,
    step_size: Real,
    lipschitz: Real,
    batch_size: Real,
    batches: Real,
    contraction: Real,
    position: Real,
    unlearn_epochs: Real,
    radius: Real,
) -> mpf:
    """alpha Z_j^2 c^{2Kn/b} / (2 eta sigma^2), Z_j = min(2 eta M c^{n/b-j-1} / (b (1 - c^{n/b})), 2R)."""
    c, count = _mp(contraction), _mp(batches)
    distance = 2 * _mp(radius)
    if c != 1:
        step = 2 * _mp(step_size) * _mp(lipschitz) / _mp(batch_size)
        distance = min(distance, step * c ** (count - _mp(position) - 1) / (1 - c**count))
    return _published(alpha, distance * c ** (_mp(unlearn_epochs) * count), sigma, step_size, unlearn_epochs)


@mp.workdps(DIGITS)
def paper_converged(
    *,
    alpha: Real,
    sigma: Real,
    step_size: Real,
    lipschitz: Real,
    batch_size: Real,
    batches: Real,
    contraction: Real,
    unlearn_epochs: Real,
    radius: Real,
) -> mpf:
    """alpha Z_B^2 c^{2Kn/b} / (2 eta sigma^2), Z_B = min(2 eta M / (b (1 - c^{n/b})), 2R): last position."""
    return paper_position(
        alpha=alpha,
        sigma=sigma,
        step_size=step_size,
        lipschitz=lipschitz,
        radius=radius,
        batch_size=batch_size,
        batches=batches,
        contraction=contraction,
        position=_mp(batches) - 1,
        unlearn_epochs=unlearn_epochs,
    )


@mp.workdps(DIGITS)
def paper_convex(
    *,
    alpha: Real,
    sigma: Real,
    step_size: Real,
    lipschitz: Real,
    batch_size: Real,
    batches: Real,
    learn_epochs: Real,
    unlearn_epochs: Real,
    radius: Real,
) -> mpf:
    """alpha Z_B^2 b / (2 eta sigma^2 K n), Z_B = min(2 eta M T / b, 2R)."""
    distance = min(2 * _mp(step_size) * _mp(lipschitz) * _mp(learn_epochs) / _mp(batch_size), 2 * _mp(radius))
    return _published(alpha, distance, sigma, step_size, unlearn_epochs) / _mp(unlearn_epochs) / _mp(batches)


@mp.workdps(DIGITS)
def paper_not_converged(
    *,
    alpha: Real,
    sigma: Real,
    step_size: Real,
    lipschitz: Real,
    batch_size: Real,
    batches: Real,
    contraction: Real,
    learn_epochs: Real,
    unlearn_epochs: Real,
    radius: Real,
) -> mpf:
    """(alpha - 1/2) / (alpha - 1) (eps_1(2 alpha) + eps_2(2 alpha))."""
    order, c, count, diameter = _mp(alpha), _mp(contraction), _mp(batches), 2 * _mp(radius)
    burned = c ** (_mp(learn_epochs) * count)
    geometric = _mp(learn_epochs) if c == 1 else (1 - burned) / (1 - c**count)
    step = 2 * _mp(step_size) * _mp(lipschitz) / _mp(batch_size)
    distance = diameter * burned + min(geometric * step, diameter)
    first = _published(2 * order, diameter * burned, sigma, step_size, unlearn_epochs)
    kept = c ** (_mp(unlearn_epochs) * count)
    second = _published(2 * order, distance * kept, sigma, step_size, unlearn_epochs)
    return (order - mpf(1) / 2) / (order - 1) * (first + second)


@mp.workdps(DIGITS)
def paper_geometric(*, alpha: Real, sigma: Real, step_size: Real, contraction: Real, steps: Real, distance: Real) -> mpf:
    """alpha Z^2 (1 - c^2) c^{2N} / ((1 - c^{2N}) 2 eta sigma^2), N = K n / b; c = 1 is the limit Z^2 / N."""
    bound, square = _published(alpha, _mp(distance), sigma, step_size, steps), _mp(contraction) ** 2
    left = square ** _mp(steps)
    return bound / _mp(steps) if square == 1 else bound * (1 - square) * left / (1 - left)


# Self-checks


def _check(name: str, got: Real, want: Real, tolerance: Real = 1e-40) -> None:
    """Print both numbers and insist that they agree relative to the wanted one."""
    print(f"{name}: {mp.nstr(got, 15)} | {mp.nstr(want, 15)}")
    assert abs(got - mpf(want)) <= tolerance * abs(mpf(want)), name


def _named(schedule: tuple[Reals, Reals, Reals], start: Real = 0) -> dict[str, object]:
    """The keyword arguments of taut_string."""
    return dict(zip(("contraction", "sensitivity", "variance"), schedule, strict=True), start_distance=start)


def _isotonic_mu(schedule: Schedule, start: Real) -> mpf:
    """The taut string again: its slopes are the isotonic regression of the increments (pooling violators)."""
    times, sums = _points(*schedule, start)
    blocks: list[tuple[mpf, mpf]] = []
    for (t0, s0), (t1, s1) in pairwise([(mpf(0), mpf(0)), *zip(times[1:], sums[1:], strict=True)]):
        blocks.append((t1 - t0, s1 - s0))
        while len(blocks) > 1 and blocks[-2][1] * blocks[-1][0] >= blocks[-1][1] * blocks[-2][0]:
            blocks[-2:] = [(blocks[-2][0] + blocks[-1][0], blocks[-2][1] + blocks[-1][1])]
    return mp.sqrt(mp.fsum(s * s / t for t, s in blocks))


def _check_engine() -> None:
    """Section 2."""
    for c, size, epochs, value in ((mpf("0.9999"), 40, 50, 1.488737), (mpf("0.99"), 10, 100, 1.678157)):
        old, count = c ** (size * (epochs - 1)), size * epochs
        closed = mp.sqrt(1 + c ** (2 * size - 2) * (1 - c * c) / (1 - c**size) ** 2 * (1 - old) / (1 + old))
        visits = [int(k % size == size - 1) for k in range(count)]
        taut = taut_string(**_named(([c] * count, visits, [1] * count)))
        _check(f"NoisyCGD {size} x {epochs}", taut, closed)
        _check("  published value", closed, value, 4e-7)
    for count in (20, 40):
        ones = [1] * count
        _check(
            "projected noisy GD, mu^2 = 4 D h / nu^2",
            taut_string_with_diameter(**_named((ones, ones, ones)), diameter=5) ** 2,
            20,
        )
    m, eta, epochs = 0.25, 0.3, 7
    for last, adjacency, j, steps in (
        ("keep", "replace", 5, 6),
        ("keep", "replace", 5, 1),
        ("keep", "zero-out", 0, 0),
        ("drop", "replace", 4, 2),
        ("drop", "replace", 4, 1),
        ("drop", "zero-out", 2, 7),
    ):
        layout = {
            "n": 23,
            "batch_size": 4,
            "position": j,
            "steps": steps,
            "step_size": eta,
            "lipschitz": 3.5,
            "strong_convexity": m,
            "adjacency": adjacency,
            "last_batch": last,
        }
        line = unrolled(learn_epochs=epochs, smoothness=2.0, **layout)
        exact, taut = mu_exact(**_named(line)), taut_string(**_named(line))
        mean, variance, lower = gaussian_instance(learn_epochs=epochs, **layout, sigma=2)
        times, sums = _points(*line, 0)
        _check(f"Gaussian instance {last} {adjacency} j={j} N={steps}", exact, lower * 2)
        _check("  its variance", times[-1] * 4, variance)
        _check("  its means", sums[-1], -mean)
        _check("  pool adjacent violators", taut_string(**_named(line, 0.7)), _isotonic_mu(line, 0.7))
        c, h, count, scale = line[0][0], max(line[1]), 6 if last == "keep" else 5, mp.sqrt(2 * mpf(eta))
        learned = h * c ** (count - 1 - j) * (1 - c ** (epochs * count)) / (1 - c**count)
        walk = tracked(contraction=line[0], sensitivity=line[1], start_distance=0, diameter=mp.inf)
        _check("  distance Z_T", walk[epochs * count], learned)
        chord = learned * c**steps * mp.sqrt((1 - c * c) / (1 - c ** (2 * len(line[0]))))
        _check("  matched closed form is mu_exact", exact, chord / scale)
        converged = taut_string(**_named(unrolled(learn_epochs=400, smoothness=2.0, **layout)))
        chord = h * c ** (count - 1 - j) / (1 - c**count) * c**steps * mp.sqrt(1 - c * c) / scale
        assert (abs(converged / chord - 1) < 1e-40) == (2 * steps >= 2 * j - count), "chord feasibility"
        assert exact <= taut <= converged, "lower bound, finite T, converged"
        if steps:
            always = learned * c**steps * mp.sqrt((1 - c * c) / (1 - c ** (2 * steps))) / scale
            only = tuple(part[-steps:] for part in line)
            _check("  always feasible form", taut_string(**_named(only, learned)), always)
    assert taut_string(**_named(([0.5, 0.5], [1, 1], [1, 0]))) == mp.inf
    assert taut_string(**_named(([0.5, 0.5], [1, 1], [0, 1]))) == 1.5


def _check_gdp() -> None:
    """Section 3, Gaussian and mixed."""
    for eps, mu in (
        (1e4, 1e-12),
        (1, 1e-12),
        (1e-9, 1e-3),
        (1e-9, 1e-12),
        (0, 0.5),
        (1, 1),
        (1e4, 141),
        (1, 0.02697),
        (5, 1e-5),
        (1e-30, 1e-3),
        (3, 6),
        (0.01, 5),
    ):
        value = gdp_log_delta(epsilon=eps, mu=mu)
        _check(f"log delta({eps}; {mu})", value, gdp_log_delta_integral(epsilon=eps, mu=mu), 1e-50)
        with mp.workdps(2 * DIGITS):
            _check("  gdp_mu", gdp_mu(epsilon=eps, delta=mp.exp(value)), mu)
    for delta in (1e-300, mpf("1e-1000000"), 1e-5, 0.9):
        for mu in (1e-12, 0.3, 40):
            eps = gdp_epsilon(delta=delta, mu=mu)
            back = gdp_delta(epsilon=eps, mu=mu)
            assert back < delta if eps == 0 else abs(back / delta - 1) < 1e-40
    _check("delta(0; mu)", gdp_delta(epsilon=0, mu=0.3), mp.erf(mpf(0.3) / mp.sqrt(8)))
    step = mpf("1e-15")
    rise = gdp_delta(epsilon=1, mu=0.5 + step) - gdp_delta(epsilon=1, mu=0.5 - step)
    fall = gdp_delta(epsilon=1 + step, mu=0.5) - gdp_delta(epsilon=1 - step, mu=0.5)
    _check("d delta / d mu", rise / (2 * step), mp.npdf(1.75), 1e-25)
    _check("d delta / d eps", fall / (2 * step), -mp.e * mp.ncdf(-2.25), 1e-25)
    weights, mus, eps = [0.25, 0.5, 0.25], [0, 0.5, 1.5], mpf(1) / 3
    delta = mixture_delta(epsilon=eps, weights=weights, mus=mus)
    _check("mixture_epsilon", mixture_epsilon(delta=delta, weights=weights, mus=mus), eps)
    reject = _upper(eps / 0.5 + 0.25) / 2 + _upper(eps / 1.5 + 0.75) / 4
    miss = mixture_tradeoff(type_i=reject, weights=weights, mus=mus)
    _check("trade-off touches its supporting line", 1 - miss - mp.exp(eps) * reject, delta)
    for type_i in (1e-300, 0.3, 0.7, 1 - 1e-12):
        one = gdp_tradeoff(type_i=type_i, mu=1.5)
        _check(f"trade-off at {type_i}", one, mixture_tradeoff(type_i=type_i, weights=[1], mus=[1.5]))
        blend = mixture_tradeoff(type_i=type_i, weights=weights, mus=mus)
        assert max(one, 1 - delta - mp.exp(eps) * mpf(type_i)) <= blend <= 1 - mpf(type_i)


def _check_renyi() -> None:
    """Section 3, Renyi."""
    rho, one = mpf(0.3), {"weights": [1], "rhos": [0.3], "family": "linear", "conversion": "basic"}
    _check("rho + 2 sqrt(rho log 1/delta)", rdp_epsilon(delta=mpf("1e-5"), **one), rho + 2 * mp.sqrt(rho * mp.log(10**5)))
    _check("mixture_rdp of one", mixture_rdp(alpha=3.5, weights=[1], mus=[1.5]), 3.5 * 1.125)
    weights, mus = [0.25, 0.5, 0.25], [0, 0.5, 1.5]
    for family in ("linear", "not-converged"):
        ends = [mixture_epsilon(delta=1e-6, weights=weights, mus=mus)]
        for conversion in ("improved", "basic"):
            kind = {"weights": weights, "rhos": [mu**2 / 2 for mu in mus], "family": family}
            ends.append(rdp_epsilon(delta=1e-6, conversion=conversion, **kind))
            back = rdp_delta(epsilon=ends[-1], conversion=conversion, **kind)
            _check(f"{family}, {conversion}: inverse", back, 1e-6)
        assert ends[0] < ends[1] < ends[2], "hockey-stick, improved, basic"


TABLE = """11264 0.05 0.66695533 0.072046652
11264 1 0.034172921 0.005091505
11264 5 0.0074576908 0.0012685811
512 0.05 0.4039126 0.033436489
512 1 0.020695349 0.0025466157
512 5 0.0045164274 0.00066241424
128 0.05 0.055863665 0.0035962086
128 1 0.0028622976 0.00030518137
128 5 0.00062465044 8.3067633e-5
32 0.05 1.9376081e-6 8.935668e-8
32 1 9.9277606e-8 8.8747761e-9
32 5 2.1665742e-8 2.5659963e-9"""


def _check_published() -> None:
    """Sections 4 and 6: the MNIST preset, one unlearning epoch, and 100 deletions at sigma = 0.03."""
    n, m = 11264, Fraction(11264, 10**6)
    eta, log_n = 1 / (Fraction(1, 4) + m), mp.log(n)
    c = contraction(step_size=eta, smoothness=1 / eta, strong_convexity=m)
    unit, chord = 2 * _mp(eta), mp.sqrt((1 - c * c) / (2 * _mp(eta)))
    for row in TABLE.splitlines():
        eps, paper, optimal = map(mpf, row.split()[1:])
        b = int(row.split()[0])
        preset = {
            "step_size": eta,
            "lipschitz": 1,
            "batch_size": b,
            "batches": n // b,
            "contraction": c,
            "unlearn_epochs": 1,
            "radius": mp.inf,
        }
        root = mp.sqrt(log_n + eps) - mp.sqrt(log_n)  # rho + 2 sqrt(rho log n) = eps
        sigma = mp.sqrt(paper_converged(alpha=1, sigma=1, **preset)) / root
        _check(f"table b={b} eps={row.split()[1]} paper", sigma, paper, 1e-7)
        spent = paper_position(alpha=1, sigma=sigma, position=n // b - 1, **preset)
        basic = {"weights": [1], "rhos": [spent], "family": "linear", "conversion": "basic"}
        _check("  spends epsilon", rdp_epsilon(delta=Fraction(1, n), **basic), eps)
        distances = [unit / b * c ** (n // b - 1 - j) / (1 - c ** (n // b)) for j in range(n // b)]
        sigma = sigma_optimal(
            weights=[Fraction(b, n)] * (n // b),
            epsilon=eps,
            delta=Fraction(1, n),
            mus_at_sigma_one=[z * c ** (n // b) * chord for z in distances],
        )
        _check("  optimal", sigma, optimal, 1e-7)
    convex = {
        "alpha": 3,
        "sigma": 0.03,
        "step_size": eta,
        "lipschitz": 1,
        "batch_size": 32,
        "batches": 352,
        "unlearn_epochs": 2,
        "radius": 5,
    }
    geometric = paper_geometric(alpha=3, sigma=0.03, step_size=eta, contraction=1, steps=704, distance=9 * unit / 32)
    _check("convex is the geometric variant at c = 1", paper_convex(learn_epochs=9, **convex), geometric)
    _check(
        "not converged, T large",
        paper_not_converged(learn_epochs=10**4, contraction=c, **convex),
        2.5 * paper_converged(contraction=c, **convex),
    )
    fixed = {"alpha": 1, "sigma": 0.03, "step_size": eta, "contraction": c}
    rho, mu = (mp.sqrt(log_n + 1) - mp.sqrt(log_n)) ** 2, gdp_mu(epsilon=1, delta=Fraction(1, n))
    rules = {
        "paper": lambda z, k: k > 0 and _published(1, z * c**k, 0.03, eta, k) <= rho,
        "geometric": lambda z, k: k > 0 and paper_geometric(distance=z, steps=k, **fixed) <= rho,
        "optimal": lambda z, k: z * c**k * chord / 0.03 <= mu,
    }
    # 886 is the geometric variant from the first request on; from the second request on it is 887
    for first, later, total in (
        ("paper", "paper", 1786),
        ("geometric", "geometric", 886),
        ("paper", "geometric", 887),
        ("optimal", "optimal", 358),
    ):
        distance, spent = mpf(0), 0
        for request in range(100):
            distance, steps = distance + unit / n / (1 - c), 0
            while not rules[later if request else first](distance, steps):
                steps += 1
            distance, spent = distance * c**steps, spent + steps
        _check(f"100 requests, {first} then {later}", spent, total, 0)


@mp.workdps(DIGITS)
def self_check() -> None:
    """Compare the oracle with every reference value, and with itself."""
    _check_engine()
    _check_gdp()
    _check_renyi()
    _check_published()


if __name__ == "__main__":
    self_check()
