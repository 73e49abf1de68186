"""An independent high-precision oracle for the baselines: Descent-to-Delete (D2D) and Langevin unlearning (LU).

Written from the mathematical description of the accountant alone (section 4, "Baselines"; section 3 for the hockey-stick
and the conversion), sharing no code with the package. Everything is mpmath at DIGITS decimal digits; Python floats are
converted exactly. Notation: gamma = (L - m)/(L + m) is the contraction of a gradient step 2/(L + m), L the smoothness, m the
strong convexity, M the Lipschitz constant of the loss of one point, n the number of points, d the dimension. A deletion is
a replacement, so the minimisers of two neighbouring datasets are at most Z = 2M/(mn) apart, S Z with S points replaced.
All logarithms are natural.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from mpmath import mp, mpf

DIGITS = 60
GUARD = 20  # digits that the minimisation works with beyond DIGITS, so that its value is good to DIGITS

Real = float | int | Fraction | mpf


def _mp(value: Real) -> mpf:
    """The exact value of a float or int, a Fraction to working precision."""
    return mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else mp.mpf(value)


def _root(increasing: Callable[[mpf], mpf], target: mpf) -> mpf:
    """The x > 0 at which an increasing function reaches `target`: bisection of log x, then of x, to all DIGITS."""
    low = high = mpf(1)
    while increasing(high) < target:
        low, high = high, high * high * 2
    while increasing(low) >= target:
        low, high = low * low / 2 if low < 1 else mpf(1) / 2, low
        if low < mpf(10) ** -100000:
            raise ValueError("no positive root")
    while high > 2 * low:
        middle = mp.sqrt(low * high)
        low, high = (low, middle) if increasing(middle) >= target else (middle, high)
    while high - low > high * mpf(10) ** -DIGITS:
        middle = (low + high) / 2
        low, high = (low, middle) if increasing(middle) >= target else (middle, high)
    return (low + high) / 2


def _least(value: Callable[[mpf], mpf], low: mpf, high: mpf) -> tuple[mpf, mpf]:
    """Golden-section search: the place and the value of the minimum of a convex function on the open interval."""
    ratio = (mp.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = value(left), value(right)
    # Near its minimum the function is flat: half the digits of the place give all of the digits of the value.
    while high - low > high * mpf(10) ** -(DIGITS // 2 + 2):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = value(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = value(right)
    return (left, at_left) if at_left <= at_right else (right, at_right)


# Section 3: the Gaussian mechanism


@mp.workdps(DIGITS)
def gaussian_delta(*, epsilon: Real, mu: Real) -> mpf:
    """delta(eps; mu) = Phi(-eps/mu + mu/2) - e^eps Phi(-eps/mu - mu/2), the hockey-stick divergence of mu-GDP (section 3)."""
    eps, mean = _mp(epsilon), _mp(mu)
    if mean <= 0:
        return mpf(0)
    # The two terms are one density times the Mills ratios at eps/mu -+ mu/2: relative to themselves they differ by about
    # mu/(1 + eps/mu). Twice the digits that this loses are added.
    lost = max(0, int(mp.ceil(2 * mp.log10((1 + eps / mean + mean) / mean))))
    with mp.workdps(DIGITS + GUARD + lost):
        return mp.ncdf(-eps / mean + mean / 2) - mp.exp(eps) * mp.ncdf(-eps / mean - mean / 2)


@mp.workdps(DIGITS)
def gaussian_epsilon(*, delta: Real, mu: Real) -> mpf:
    """The smallest eps >= 0 with delta(eps; mu) <= delta, by bisection; 0 if delta(0; mu) is that small already."""
    if gaussian_delta(epsilon=0, mu=mu) <= _mp(delta):
        return mpf(0)
    return _root(lambda eps: -gaussian_delta(epsilon=eps, mu=mu), -_mp(delta))


@mp.workdps(DIGITS)
def gaussian_mu(*, epsilon: Real, delta: Real) -> mpf:
    """The largest mu with delta(epsilon; mu) <= delta, by bisection."""
    if not 0 < _mp(delta) < 1:
        raise ValueError("delta must be in (0, 1)")
    return _root(lambda mu: gaussian_delta(epsilon=epsilon, mu=mu), _mp(delta))


# Section 4: Descent-to-Delete as published


@mp.workdps(DIGITS)
def d2d_contraction(*, smoothness: Real, strong_convexity: Real) -> mpf:
    """gamma = (L - m)/(L + m), the contraction of a gradient step 2/(L + m)."""
    return (_mp(smoothness) - _mp(strong_convexity)) / (_mp(smoothness) + _mp(strong_convexity))


@mp.workdps(DIGITS)
def _d2d_scale(*, iterations: int, n: int, smoothness: Real, strong_convexity: Real, lipschitz: Real) -> mpf:
    """M gamma^I/(m n (1 - gamma^I)), the factor that both published standard deviations share."""
    if iterations < 1:
        raise ValueError("the published formulas need at least one iteration")
    left = d2d_contraction(smoothness=smoothness, strong_convexity=strong_convexity) ** iterations
    return _mp(lipschitz) * left / (_mp(strong_convexity) * n * (1 - left))


@mp.workdps(DIGITS)
def d2d_sigma(
    *, epsilon: Real, delta: Real, iterations: int, n: int, smoothness: Real, strong_convexity: Real, lipschitz: Real
) -> mpf:
    """4 sqrt(2) M gamma^I/(m n (1 - gamma^I) (sqrt(log(1/delta) + eps) - sqrt(log(1/delta)))), the published D2D noise.

    Neel, Roth & Sharifi-Malvajerdi 2021 as in section 4: a standard deviation, for every request of a stream with I
    iterations each whose internal (noiseless) state stays secret, one point per request.
    """
    scale = _d2d_scale(
        iterations=iterations, n=n, smoothness=smoothness, strong_convexity=strong_convexity, lipschitz=lipschitz
    )
    tail = -mp.log(_mp(delta))
    root_sum = mp.sqrt(tail + _mp(epsilon)) + mp.sqrt(tail)  # sqrt(a + e) - sqrt(a) = e/(sqrt(a + e) + sqrt(a))
    return 4 * mp.sqrt(2) * scale * root_sum / _mp(epsilon)


@mp.workdps(DIGITS)
def d2d_epsilon(
    *, sigma: Real, delta: Real, iterations: int, n: int, smoothness: Real, strong_convexity: Real, lipschitz: Real
) -> mpf:
    """The inverse of d2d_sigma: with C = 4 sqrt(2) M gamma^I/(m n (1 - gamma^I) sigma), eps = C^2 + 2 C sqrt(log(1/delta))."""
    scale = _d2d_scale(
        iterations=iterations, n=n, smoothness=smoothness, strong_convexity=strong_convexity, lipschitz=lipschitz
    )
    gain = 4 * mp.sqrt(2) * scale / _mp(sigma)
    return gain**2 + 2 * gain * mp.sqrt(-mp.log(_mp(delta)))


@mp.workdps(DIGITS)
def d2d_open_minimum(*, epsilon: Real, delta: Real, dimension: int, smoothness: Real, strong_convexity: Real) -> int:
    """I_min = ceil(log(sqrt(2d)/((1 - gamma)(sqrt(2 log(2/delta) + eps) - sqrt(2 log(2/delta)))))/log(1/gamma)) (section 4)."""
    gamma = d2d_contraction(smoothness=smoothness, strong_convexity=strong_convexity)
    tail = 2 * mp.log(2 / _mp(delta))
    gap = _mp(epsilon) / (mp.sqrt(tail + _mp(epsilon)) + mp.sqrt(tail))
    return int(mp.ceil(mp.log(mp.sqrt(2 * dimension) / ((1 - gamma) * gap)) / -mp.log(gamma)))


@mp.workdps(DIGITS)
def d2d_open_iterations(
    *, request: int, budget: int, dimension: int, delta: Real, smoothness: Real, strong_convexity: Real
) -> int:
    """budget + ceil(log(log(4 d i/delta))/log(1/gamma)): the iterations that request i = 1, 2, ... runs (section 4).

    No secret state: the next request starts at the noisy output. The budget is I_min, or any larger number.
    """
    if request < 1:
        raise ValueError("requests are counted from 1")
    gamma = d2d_contraction(smoothness=smoothness, strong_convexity=strong_convexity)
    return budget + int(mp.ceil(mp.log(mp.log(4 * dimension * request / _mp(delta))) / -mp.log(gamma)))


@mp.workdps(DIGITS)
def d2d_open_sigma(
    *, epsilon: Real, delta: Real, iterations: int, n: int, smoothness: Real, strong_convexity: Real, lipschitz: Real
) -> mpf:
    """8 M gamma^I/(m n (1 - gamma^I)(sqrt(2 log(2/delta) + 3 eps) - sqrt(2 log(2/delta) + 2 eps))), D2D without secret state.

    Section 4; `iterations` is the I of gamma^I.
    """
    scale = _d2d_scale(
        iterations=iterations, n=n, smoothness=smoothness, strong_convexity=strong_convexity, lipschitz=lipschitz
    )
    tail, eps = 2 * mp.log(2 / _mp(delta)), _mp(epsilon)
    return 8 * scale * (mp.sqrt(tail + 3 * eps) + mp.sqrt(tail + 2 * eps)) / eps


# Section 4, last paragraph: Descent-to-Delete as one more schedule, an exact Gaussian mechanism


@mp.workdps(DIGITS)
def d2d_distance(
    *, iterations: Sequence[int], points: Sequence[int], n: int, smoothness: Real, strong_convexity: Real, lipschitz: Real
) -> mpf:
    """D_s after the last request of a stream of converged noiseless learning: D <- (D + S_i 2M/(mn)) gamma^(I_i), D_0 = 0.

    Request i replaces S_i points and runs I_i steps 2/(L + m) from the noiseless state that request i - 1 left; D_s is how far
    the state then is from the minimiser on the final dataset, at most (section 5, noise at the release only).
    """
    if len(iterations) != len(points) or not iterations or min(iterations) < 0 or min(points) < 1:
        raise ValueError("one number of iterations and one of points for every request")
    gamma = d2d_contraction(smoothness=smoothness, strong_convexity=strong_convexity)
    apart = 2 * _mp(lipschitz) / (_mp(strong_convexity) * n)
    distance = mpf(0)
    for steps, count in zip(iterations, points, strict=True):
        distance = (distance + count * apart) * gamma**steps
    return distance


@mp.workdps(DIGITS)
def d2d_exact_sigma(
    *,
    epsilon: Real,
    delta: Real,
    iterations: int,
    n: int,
    smoothness: Real,
    strong_convexity: Real,
    lipschitz: Real,
    points: int = 1,
) -> mpf:
    """The noise of the exact Gaussian mechanism, one request of S points: S 2M/(mn) gamma^I/mu, delta(epsilon; mu) = delta."""
    return d2d_exact_stream_sigma(
        epsilon=epsilon,
        delta=delta,
        iterations=[iterations],
        points=[points],
        n=n,
        smoothness=smoothness,
        strong_convexity=strong_convexity,
        lipschitz=lipschitz,
    )


@mp.workdps(DIGITS)
def d2d_exact_epsilon(
    *,
    sigma: Real,
    delta: Real,
    iterations: int,
    n: int,
    smoothness: Real,
    strong_convexity: Real,
    lipschitz: Real,
    points: int = 1,
) -> mpf:
    """The inverse of d2d_exact_sigma: eps with delta(eps; mu) = delta at mu = S 2M/(mn) gamma^I/sigma, or 0."""
    return d2d_exact_stream_epsilon(
        sigma=sigma,
        delta=delta,
        iterations=[iterations],
        points=[points],
        n=n,
        smoothness=smoothness,
        strong_convexity=strong_convexity,
        lipschitz=lipschitz,
    )


@mp.workdps(DIGITS)
def d2d_exact_stream_mu(
    *,
    sigma: Real,
    iterations: Sequence[int],
    points: Sequence[int],
    n: int,
    smoothness: Real,
    strong_convexity: Real,
    lipschitz: Real,
) -> mpf:
    """mu_s = D_s/sigma of the release that follows the last request of a stream (D_s: d2d_distance)."""
    return d2d_distance(
        iterations=iterations, points=points, n=n, smoothness=smoothness, strong_convexity=strong_convexity, lipschitz=lipschitz
    ) / _mp(sigma)


@mp.workdps(DIGITS)
def d2d_exact_stream_sigma(
    *,
    epsilon: Real,
    delta: Real,
    iterations: Sequence[int],
    points: Sequence[int],
    n: int,
    smoothness: Real,
    strong_convexity: Real,
    lipschitz: Real,
) -> mpf:
    """D_s/mu with delta(epsilon; mu) = delta: the noise that the release after the last request of a stream needs."""
    distance = d2d_distance(
        iterations=iterations, points=points, n=n, smoothness=smoothness, strong_convexity=strong_convexity, lipschitz=lipschitz
    )
    return distance / gaussian_mu(epsilon=epsilon, delta=delta)


@mp.workdps(DIGITS)
def d2d_exact_stream_epsilon(
    *,
    sigma: Real,
    delta: Real,
    iterations: Sequence[int],
    points: Sequence[int],
    n: int,
    smoothness: Real,
    strong_convexity: Real,
    lipschitz: Real,
) -> mpf:
    """The inverse of d2d_exact_stream_sigma: eps with delta(eps; D_s/sigma) = delta, or 0."""
    mu = d2d_exact_stream_mu(
        sigma=sigma,
        iterations=iterations,
        points=points,
        n=n,
        smoothness=smoothness,
        strong_convexity=strong_convexity,
        lipschitz=lipschitz,
    )
    return gaussian_epsilon(delta=delta, mu=mu)


# Section 4: Langevin unlearning


@mp.workdps(DIGITS + GUARD)
def langevin_start(*, alpha: Real, sigma: Real, points: int, n: int, strong_convexity: Real, lipschitz: Real) -> mpf:
    """eps_0(alpha) = 4 alpha S^2 M^2/(m sigma^2 n^2): the order-alpha divergence of the two stationary laws, S points apart."""
    top = 4 * _mp(alpha) * (points * _mp(lipschitz)) ** 2
    return top / (_mp(strong_convexity) * (_mp(sigma) * n) ** 2)


@mp.workdps(DIGITS + GUARD)
def langevin_rdp(
    *,
    alpha: Real,
    sigma: Real,
    epochs: Sequence[int],
    points: Sequence[int],
    n: int,
    strong_convexity: Real,
    lipschitz: Real,
    step_size: Real,
) -> mpf:
    """The bound on D_alpha after the last request of a stream (section 4, LU), by its own recursion, oldest request first.

    eps_1(alpha) = e^(-K_1 eta m/alpha) eps_0(alpha) with the S_1 points of the first request, and for s > 1
    eps_s(alpha) = e^(-K_s eta m/alpha) (alpha - 1/2)/(alpha - 1) (eps_0(2 alpha) + eps_(s-1)(2 alpha)), with S_s in eps_0.
    """
    if len(epochs) != len(points) or not epochs or min(epochs) < 0 or min(points) < 1:
        raise ValueError("one number of epochs and one of points for every request")
    order = _mp(alpha)
    if order <= 1:
        raise ValueError("alpha must be above 1")
    decay = mp.exp(-epochs[-1] * _mp(step_size) * _mp(strong_convexity) / order)
    if len(epochs) == 1:
        return decay * langevin_start(
            alpha=order, sigma=sigma, points=points[0], n=n, strong_convexity=strong_convexity, lipschitz=lipschitz
        )
    new = langevin_start(
        alpha=2 * order, sigma=sigma, points=points[-1], n=n, strong_convexity=strong_convexity, lipschitz=lipschitz
    )
    old = langevin_rdp(
        alpha=2 * order,
        sigma=sigma,
        epochs=epochs[:-1],
        points=points[:-1],
        n=n,
        strong_convexity=strong_convexity,
        lipschitz=lipschitz,
        step_size=step_size,
    )
    return decay * (order - mpf(1) / 2) / (order - 1) * (new + old)


@mp.workdps(DIGITS + GUARD)
def langevin_optimum(
    *,
    sigma: Real,
    delta: Real,
    epochs: Sequence[int],
    points: Sequence[int],
    n: int,
    strong_convexity: Real,
    lipschitz: Real,
    step_size: Real,
    alpha_min: Real = 1,
) -> tuple[mpf, mpf]:
    """The epsilon of langevin_epsilon and an order alpha that reaches it.

    In u = 1/alpha the bound is a product of log-convex functions of u (1/u, e^(-k u), (1 - u/2)/(1 - u)) and sums of such,
    and 1/(alpha - 1) = u/(1 - u) is convex: one minimum, found by golden section, and the end u = 1/alpha_min if alpha_min > 1.
    """
    tail, largest = -mp.log(_mp(delta)), 1 / _mp(alpha_min)
    if largest > 1:
        raise ValueError("alpha_min must be at least 1")

    def epsilon(inverse: mpf) -> mpf:
        rdp = langevin_rdp(
            alpha=1 / inverse,
            sigma=sigma,
            epochs=epochs,
            points=points,
            n=n,
            strong_convexity=strong_convexity,
            lipschitz=lipschitz,
            step_size=step_size,
        )
        return rdp + tail * inverse / (1 - inverse)

    place, value = _least(epsilon, mpf(0), largest)
    if largest < 1:
        end = epsilon(largest)
        if end < value:
            place, value = largest, end
    return value, 1 / place


@mp.workdps(DIGITS)
def langevin_epsilon(
    *,
    sigma: Real,
    delta: Real,
    epochs: Sequence[int],
    points: Sequence[int],
    n: int,
    strong_convexity: Real,
    lipschitz: Real,
    step_size: Real,
    alpha_min: Real = 1,
) -> mpf:
    """min over real alpha > alpha_min of langevin_rdp + log(1/delta)/(alpha - 1), the basic conversion (section 3)."""
    value, _ = langevin_optimum(
        sigma=sigma,
        delta=delta,
        epochs=epochs,
        points=points,
        n=n,
        strong_convexity=strong_convexity,
        lipschitz=lipschitz,
        step_size=step_size,
        alpha_min=alpha_min,
    )
    return +value


@mp.workdps(DIGITS)
def langevin_sigma(
    *,
    epsilon: Real,
    delta: Real,
    epochs: Sequence[int],
    points: Sequence[int],
    n: int,
    strong_convexity: Real,
    lipschitz: Real,
    step_size: Real,
    alpha_min: Real = 1,
) -> mpf:
    """The smallest sigma whose langevin_epsilon is at most epsilon, by bisection."""
    return _root(
        lambda sigma: (
            -langevin_epsilon(
                sigma=sigma,
                delta=delta,
                epochs=epochs,
                points=points,
                n=n,
                strong_convexity=strong_convexity,
                lipschitz=lipschitz,
                step_size=step_size,
                alpha_min=alpha_min,
            )
        ),
        -_mp(epsilon),
    )


@mp.workdps(DIGITS)
def langevin_epochs(
    *,
    epsilon: Real,
    sigma: Real,
    delta: Real,
    points: int,
    n: int,
    strong_convexity: Real,
    lipschitz: Real,
    step_size: Real,
    alpha_min: Real = 1,
    least: int = 0,
) -> int:
    """The smallest K >= least with langevin_epsilon at most epsilon for a single request; the bound falls to 0 as K grows."""
    if _mp(epsilon) <= 0:
        raise ValueError("epsilon must be positive")

    def enough(count: int) -> bool:
        return langevin_epsilon(
            sigma=sigma,
            delta=delta,
            epochs=[count],
            points=[points],
            n=n,
            strong_convexity=strong_convexity,
            lipschitz=lipschitz,
            step_size=step_size,
            alpha_min=alpha_min,
        ) <= _mp(epsilon)

    if enough(least):
        return least
    short, good = least, max(2 * least, 1)
    while not enough(good):
        short, good = good, 2 * good
    while good - short > 1:
        middle = (short + good) // 2
        short, good = (short, middle) if enough(middle) else (middle, good)
    return good
