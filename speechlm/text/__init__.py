"""English as people write it: normalisation to words, and sentences."""
