"""Unlearned models as mechanisms of autodp: views, composition, calibration.

Run: pip install 'unlearning-accountant[autodp]' && python docs/examples/autodp_composition.py
"""

import warnings

from autodp import calibrator_zoo, mechanism_zoo, transformer_zoo

from accountant import PNSGD, UnlearningAccountant, preset
from accountant.interop.autodp import UnlearningCalibrator, UnlearningMechanism, compose

warnings.filterwarnings("ignore", category=RuntimeWarning)  # of the searches inside autodp
DELTA = 1e-5
accountant = UnlearningAccountant(PNSGD(preset("mnist"), 128))

# The least noise for epsilon = 1 after one epoch of unlearning.
model = UnlearningCalibrator()(1.0, DELTA, accountant=accountant, epochs=1)
print(f"sigma = {model.params['sigma']:.6g}: epsilon = {model.get_approxDP(DELTA):.6f}, relation {model.neighboring}")
print(f"Renyi divergence of order 8: {model.get_RDP(8):.6f}; type II error at type I error 0.05: {model.get_fDP(0.05):.6f}")

# Ten models trained and unlearned independently.
ten = compose([model], [10])
print(f"ten of them: epsilon = {ten.get_approxDP(DELTA):.6f}")

# Beside another mechanism, with autodp's own composition.
count = mechanism_zoo.ExactGaussianMechanism(5.0, name="a noisy count")
both = transformer_zoo.Composition()([model, count], [1, 1])
print(f"one of them and {count.name}: epsilon = {both.get_approxDP(DELTA):.6f}")


# autodp's calibrator, for ten of them together: log10 sigma, as it stops at steps of 1e-5 in its parameter.
def together(log_sigma: float) -> object:
    return compose([UnlearningMechanism(10**log_sigma, accountant=accountant, epochs=1)], [10])


found = calibrator_zoo.eps_delta_calibrator()(together, 1.0, DELTA, [-6, 0])
print(f"sigma for ten: {found.params['Unlearning:sigma']:.6g}, epsilon = {found.get_approxDP(DELTA):.6f} (on either side)")
