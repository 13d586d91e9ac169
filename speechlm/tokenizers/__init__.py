"""Tokenizers: speech to units and back, text to pieces and back."""
