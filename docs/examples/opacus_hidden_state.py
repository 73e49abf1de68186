"""Private logistic regression with Opacus, accounted for its last iterate alone.

Run: pip install 'unlearning-accountant[opacus]' && python docs/examples/opacus_hidden_state.py
"""

import math
import warnings

import torch
from opacus import PrivacyEngine
from opacus.accountants.utils import get_noise_multiplier

from accountant import PNSGD, Problem, UnlearningAccountant, gdp_mu
from accountant.interop.opacus import register

warnings.filterwarnings("ignore", category=UserWarning)  # no secure random numbers, and hooks of PyTorch
torch.manual_seed(0)

N, DIMENSION, BATCH, EPOCHS = 8192, 20, 1024, 50
DECAY, LEARNING_RATE, CLIP = 0.05, 2.0, 1.0
EPSILON, DELTA = 1.0, 1e-5

# Unit-norm features: every gradient of the logistic loss has norm at most 1, and the loss is 1/4-smooth.
features = torch.nn.functional.normalize(torch.randn(N, DIMENSION))
labels = (features[:, 0] + 0.1 * torch.randn(N) > 0).float()
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(features, labels), batch_size=BATCH, shuffle=True)

# What Opacus cannot see: the constants of the loss, weight decay included.
problem = Problem(n=N, smoothness=0.25 + DECAY, strong_convexity=DECAY, lipschitz=CLIP, adjacency="zero-out")
algorithm = PNSGD(problem, BATCH, step_size=LEARNING_RATE)
register(algorithm, batches="reshuffle")

model = torch.nn.Linear(DIMENSION, 1, bias=False)
engine = PrivacyEngine(accountant="hidden-state")
model, optimizer, loader = engine.make_private_with_epsilon(
    module=model,
    optimizer=torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, weight_decay=DECAY),
    data_loader=loader,
    target_epsilon=EPSILON,
    target_delta=DELTA,
    epochs=EPOCHS,
    max_grad_norm=CLIP,
    poisson_sampling=False,
    epsilon_tolerance=1e-4,
)
for _ in range(EPOCHS):
    for x, y in loader:
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(model(x)[:, 0], y).backward()
        optimizer.step()

accuracy = ((model(features)[:, 0] > 0) == labels.bool()).float().mean()
print(f"after {len(engine.accountant)} steps: epsilon = {engine.get_epsilon(DELTA):.4f} at delta = {DELTA:g}, ", end="")
print(f"training accuracy {accuracy:.3f}")

ours = UnlearningAccountant(PNSGD(problem, BATCH, step_size=LEARNING_RATE, learn_epochs=EPOCHS), batches="reshuffle")
sigma = ours.sigma(epsilon=EPSILON, delta=DELTA, steps=0)
print(f"noise multiplier {optimizer.noise_multiplier:.4f}; the accountant's own: {algorithm.noise_multiplier(sigma):.4f}")
every = math.sqrt(EPOCHS) / gdp_mu(epsilon=EPSILON, delta=DELTA)
print(f"the same batches with every iterate published: {every:.4f}")
poisson = get_noise_multiplier(
    target_epsilon=EPSILON, target_delta=DELTA, sample_rate=BATCH / N, epochs=EPOCHS, accountant="prv", epsilon_tolerance=1e-3
)
print(f"Poisson sampling with every iterate published (prv): {poisson:.4f}")
