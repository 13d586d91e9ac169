"""Speech as discrete units: a streaming codec, a unit language model, a vocoder, an evaluation."""

__version__ = "0.1.0"
