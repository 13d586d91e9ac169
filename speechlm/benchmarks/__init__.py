"""Benchmarks that anyone can run: ratios against peers, measured in one process."""
