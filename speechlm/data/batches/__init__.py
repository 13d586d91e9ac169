"""Batches of training examples: crops of audio and units, and sequences of tasks."""
