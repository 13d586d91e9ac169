"""The one exception that a user can mend."""


class SpeechLMError(Exception):
    """A problem with what the user gave: one line that names the thing and says what to do.

    The command line prints the message without a traceback and exits with status 2.
    """


class Interrupted(SpeechLMError):
    """A signal ended the work before it was done.

    Attributes:
        status: the exit status of the command line, 128 and the number of the signal.
    """

    def __init__(self, message: str, signum: int = 2):
        super().__init__(message)
        self.status = 128 + signum
