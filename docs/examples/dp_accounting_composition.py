"""A model is unlearned, and statistics of the same data were published: what do both reveal together, in dp_accounting?

Needs: pip install 'unlearning-accountant[dp-accounting]'
"""

import dp_accounting

from accountant import PNSGD, Problem, UnlearningAccountant, preset
from accountant.interop.dp_accounting import UnlearningEvent, UnlearningPrivacyAccountant

DELTA = 1e-5
REPLACE, ZERO_OUT = dp_accounting.NeighboringRelation.REPLACE_ONE, dp_accounting.NeighboringRelation.REPLACE_SPECIAL

# 1. The unlearned model alone, and with ten noisy sums: Gaussians stay exact.
unlearning = UnlearningAccountant(PNSGD(preset("mnist"), batch_size=128))
event = UnlearningEvent.from_guarantee(unlearning.guarantee(sigma=0.0003, epochs=1))
accountant = UnlearningPrivacyAccountant(REPLACE).compose(event)
print(f"unlearned model                    epsilon {accountant.get_epsilon(DELTA):.4f} at delta {DELTA:g}")
accountant.compose(dp_accounting.GaussianDpEvent(noise_multiplier=20.0), 10)
print(f"and ten Gaussian sums              epsilon {accountant.get_epsilon(DELTA):.4f}")

# 2. The noise that the budget leaves for unlearning, found by the library.
target = 2.0
sums = dp_accounting.SelfComposedDpEvent(dp_accounting.GaussianDpEvent(noise_multiplier=20.0), 10)
sigma = dp_accounting.calibrate_dp_mechanism(
    lambda: UnlearningPrivacyAccountant(REPLACE),
    lambda sigma: dp_accounting.ComposedDpEvent(
        [UnlearningEvent.from_guarantee(unlearning.guarantee(sigma=sigma, epochs=1)), sums]
    ),
    target,
    DELTA,
    dp_accounting.LowerEndpointAndGuess(1e-5, 1e-3),
    tol=1e-8,
)
print(f"sigma for both at epsilon {target:g}        {sigma:.3g}")

# 3. Records whose contribution is dropped: Laplace noise and DP-SGD on the same data are composed on the library's grid.
dropping = Problem(n=11264, smoothness=0.261264, strong_convexity=0.011264, adjacency="zero-out")
dropped = UnlearningEvent.from_guarantee(UnlearningAccountant(PNSGD(dropping, 128)).guarantee(sigma=0.0003, epochs=1))
dp_sgd = dp_accounting.PoissonSampledDpEvent(0.01, dp_accounting.GaussianDpEvent(1.0))
together = (
    UnlearningPrivacyAccountant(ZERO_OUT).compose(dropped).compose(dp_accounting.LaplaceDpEvent(10.0)).compose(dp_sgd, 100)
)
print(f"with Laplace noise and DP-SGD      epsilon {together.get_epsilon(DELTA):.4f} (zero-out)")

# 4. The same as a distribution for the library's own algebra.
pld = together.privacy_loss_distribution()
print(f"twice that, by its distribution    epsilon {pld.self_compose(2).get_epsilon_for_delta(DELTA):.4f}")
