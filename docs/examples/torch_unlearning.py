"""A convolutional network on scikit-learn's digits that unlearns one in ten of its records.

Run: pip install 'unlearning-accountant[torch,sklearn]' && python docs/examples/torch_unlearning.py
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from accountant.interop.torch import unlearn

torch.manual_seed(0)

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
labels = torch.tensor(digits.target)
order = torch.randperm(len(labels))
tested, trained = order[:360], order[360:]
deleted, retained = trained[:143], trained[143:]


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 16, 10),
    )  # fmt: skip


def loader(rows: torch.Tensor) -> DataLoader:
    return DataLoader(TensorDataset(images[rows], labels[rows]), batch_size=128, shuffle=True)


def learn(model: nn.Module, rows: torch.Tensor, epochs: int) -> None:
    """Without noise, by any optimizer that is made for it."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(epochs):
        for x, y in loader(rows):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()


def accuracy(model: nn.Module) -> float:
    model.eval()
    with torch.no_grad():
        return float((model(images[tested]).argmax(1) == labels[tested]).float().mean())


model = network()
learn(model, trained, epochs=8)
print(f"learned on all records: {accuracy(model):.3f}")

# Clip, then 20 noisy steps on what is retained; batch norm's statistics have seen the deleted records, and are filled anew.
model.train()
model, guarantee = unlearn(
    model,
    loader(retained),
    nn.functional.cross_entropy,
    epsilon=1.0,
    delta=1e-5,
    gradient_clip=1.0,
    start_clip=0.01,
    steps=20,
    step_size=0.0005,
    buffers="reset",
)
print(f"epsilon = {guarantee.epsilon(1e-5):.4f} at delta = 1e-05, noise {guarantee.context['sigma']:.4f} in each of 20 steps")
print(f"unlearned: {accuracy(model):.3f}")

# From here on everything is post-processing: no noise, any optimizer, as long as it is new.
learn(model, retained, epochs=5)
print(f"unlearned, and five epochs without noise: {accuracy(model):.3f}")

scratch = network()
learn(scratch, retained, epochs=5)
print(f"five epochs from scratch: {accuracy(scratch):.3f}")
