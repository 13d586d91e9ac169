"""The one exception that a user can mend."""


class SpeechLMError(Exception):
    """A problem with what the user gave: one line that names the thing and says what to do.

    The command line prints the message without a traceback and exits with status 2.
    """
