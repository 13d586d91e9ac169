"""One training loop for codec, language model and vocoder."""
