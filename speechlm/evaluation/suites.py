"""Suites: a YAML whose ``kind`` says what is judged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from rich.console import Group

from speechlm import declaration
from speechlm.errors import SpeechLMError
from speechlm.evaluation import config, suite
from speechlm.evaluation.lm import config as lm_config
from speechlm.evaluation.lm import suite as lm_suite


class Found(Protocol):
    """A suite's outcome, which is on disk too."""

    def table(self) -> Group:
        """For the terminal."""


KINDS: dict[str, tuple[Callable[..., Any], Callable[[Any, Path], Found]]] = {
    "codec": (config.fill, suite.execute),
    "lm": (lm_config.fill, lm_suite.execute),
}


def run(path: Path, overrides: list[str], out: Path) -> Found:
    """Run the suite that the file ``path`` declares (of a codec, if it has no ``kind``).

    Raises:
        SpeechLMError: for a bad declaration, or a suite that cannot run.
    """
    declared = declaration.read(path, overrides)
    kind = declared.get("kind", "codec")
    if kind not in KINDS:
        raise SpeechLMError(f"{path}: kind is one of {', '.join(KINDS)}, not {kind}")
    fill, execute = KINDS[kind]
    return execute(fill(declared, path), out)
