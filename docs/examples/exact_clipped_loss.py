"""What published noise for fine-tuning with clipped gradients really hides: the exact law of one loss, on a grid.

Two models, clipped to norm C0, start at C0 and at -C0: what learning with and without a record may leave. Both are then
fine-tuned on the same loss -C1 |x|, whose gradient is as long as the clip everywhere:

    x <- (1 - gamma lambda) x + gamma C1 sign(x) + sigma N(0, 1).

In one dimension the laws of both are computed by quadrature, and delta(1) is the integral of (p - e q)+. No bound is used, and
nothing of this package: where the number is larger than the delta that a run claims at epsilon = 1, the claim is false.

Run: python docs/examples/exact_clipped_loss.py   (NumPy alone)
"""

import math

import numpy as np

#: Configurations of the published experiments (accountant/tables/data/noisy_finetuning.csv), which log epsilon = 1.0036 at
#: delta = 1e-5: step size, weight decay, C0, C1, sigma, steps.
PUBLISHED = (
    (0.01, 1.0, 0.1, 10.0, 0.28142849891224586, 1),
    (0.001, 500.0, 1.0, 100.0, 0.2757022491842941, 5),
    (0.001, 1.0, 0.1, 10.0, 0.08919675245419319, 10),
    (0.01, 10.0, 0.1, 0.1, 0.008523926085345657, 30),
    (0.001, 50.0, 1.0, 1.0, 0.012501133788775128, 93),
)


def laws(
    step_size: float,
    weight_decay: float,
    start_clip: float,
    gradient_clip: float,
    sigma: float,
    steps: int,
    *,
    points: int = 3000,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Densities at the middles of a grid's cells after the last step, from C0 and from -C0, and the cells' width."""
    rho, push = 1 - step_size * weight_decay, step_size * gradient_clip
    # Beyond twelve standard deviations of all noise from where the noiseless model can be there is nothing.
    reach = max(start_clip, start_clip + push * steps if rho == 1 else push / (1 - rho))
    reach += 12 * sigma * math.sqrt(sum(rho ** (2 * k) for k in range(steps)))
    # An even number of cells: zero, where the gradient jumps, is an edge.
    width = 2 * reach / points
    x = (np.arange(points) + 0.5) * width - reach

    def normal(mean: np.ndarray | float, at: np.ndarray) -> np.ndarray:
        return np.exp(-(((at - mean) / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))

    # A row for each place after a step, a column for each before it.
    kernel = normal((rho * x + push * np.sign(x))[None, :], x[:, None]) * width
    pair = [normal(sign * (rho * start_clip + push), x) for sign in (1, -1)]
    for _ in range(steps - 1):
        pair = [kernel @ density for density in pair]
    return pair[0], pair[1], width


def exact_delta(epsilon: float, *run: float, points: int = 3000) -> float:
    """The hockey-stick divergence of the two models at epsilon."""
    p, q, width = laws(*run[:5], steps=int(run[5]), points=points)
    return float(np.maximum(p - math.exp(epsilon) * q, 0).sum() * width)


if __name__ == "__main__":
    print("gamma  lambda  C0   C1     sigma      steps  exact delta(1), where 1e-5 goes with epsilon = 1.0036")
    for run in PUBLISHED:
        found, coarse = exact_delta(1.0036, *run), exact_delta(1.0036, *run, points=1500)
        setting = f"{run[0]:<6g} {run[1]:<7g} {run[2]:<4g} {run[3]:<6g} {run[4]:<10.4g} {run[5]:<6d}"
        print(f"{setting} {found:.4f}   (coarser: {coarse:.4f})")
