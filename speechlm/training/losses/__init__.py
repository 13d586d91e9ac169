"""Losses of training objectives, one family a file."""
