"""Corpora: what is declared in ``data/`` -> prepared corpora (Lhotse cuts) -> batches."""
