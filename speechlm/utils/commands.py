"""Shell commands that data name, which run only if the user allows them."""

from __future__ import annotations

import os

from speechlm.errors import SpeechLMError

ALLOW_COMMANDS = "SPEECHLM_ALLOW_COMMANDS"
"""The environment variable that is 1 where they may run."""


def check_command(source: object, command: object) -> None:
    """Raises: SpeechLMError, unless a command that ``source`` names may run."""
    if os.environ.get(ALLOW_COMMANDS) != "1":
        raise SpeechLMError(
            f"{source}: names a shell command ({str(command)[:60]!r}): give --allow-commands if "
            "you trust it"
        )
