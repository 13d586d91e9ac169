"""Benchmarks that anyone can run: ratios against peers, measured in one process."""

SYNTHETIC = ("codec", "vocoder", "lm")
"""Kinds of which ``bench train`` measures the default recipe on synthetic sounds."""
