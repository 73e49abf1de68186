"""The reference trainer: the losses, noisy SGD exactly as it is accounted for, baselines and data."""
