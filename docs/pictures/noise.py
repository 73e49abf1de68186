"""Draws docs/pictures/noise.svg: the noise that one deletion takes. Needs the ``plot`` extra.

python docs/pictures/noise.py
"""

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from accountant import PNSGD, UnlearningAccountant, preset

# Okabe & Ito's colours, told apart by colour-blind readers; markers and line styles do it in black and white.
STYLES = {"full": ("#0072B2", "o"), 512: ("#D55E00", "s"), 128: ("#009E73", "^")}


def main() -> None:
    plt.rcParams["svg.hashsalt"] = "noise"  # the same file from the same numbers
    figure, axes = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    for batch_size, (colour, marker) in STYLES.items():
        algorithm = PNSGD(preset("mnist"), batch_size)
        name = "full batch" if batch_size == "full" else f"batches of {batch_size}"
        for bound, line, first in (("paper", "--", 1), ("optimal", "-", 0)):
            epochs = np.arange(first, 6)
            sigma = UnlearningAccountant(algorithm, bound=bound).sigma(epsilon=1.0, epochs=epochs)
            face = colour if bound == "optimal" else "white"
            label = f"{name}, {bound}"
            axes.plot(epochs, sigma, line, color=colour, marker=marker, markerfacecolor=face, label=label)
        if batch_size == "full":
            # Nothing is drawn.
            continue
        secret = PNSGD(replace(preset("mnist"), adjacency="remove"), batch_size, assignment="secret")
        sigma = UnlearningAccountant(secret).sigma(epsilon=1.0, epochs=np.arange(6))
        look = {"marker": marker, "markersize": 4, "markeredgewidth": 0.8, "linewidth": 1.2}
        axes.plot(np.arange(6), sigma, ":", color=colour, **look, label=f"{name}, secret (removal)")
    axes.set_yscale("log")
    axes.set_xticks(np.arange(0, 6))
    axes.set_xlabel("unlearning epochs K")
    axes.set_ylabel("noise σ needed")
    axes.set_title("One deletion, MNIST 3 against 8, ε = 1, δ = 1/n", loc="left", fontsize=11)
    axes.grid(which="major", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    path = Path(__file__).with_suffix(".svg")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
