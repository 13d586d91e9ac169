"""What can be wrong with a stream."""

from speechlm.errors import SpeechLMError


class BitstreamError(SpeechLMError):
    """A stream that cannot be read, said in one line."""


class Truncated(BitstreamError):
    """The stream ends before what was asked for."""
