"""What can be wrong with a sound file."""

from speechlm.errors import SpeechLMError


class AudioError(SpeechLMError):
    """A sound file that cannot be read or written, described in one line."""
