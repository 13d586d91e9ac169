"""Suites: a YAML whose ``kind`` says what is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from speechlm.config import load_yaml
from speechlm.errors import SpeechLMError
from speechlm.evaluation import config, conversion, suite
from speechlm.evaluation.lm import config as lm_config
from speechlm.evaluation.lm import suite as lm_suite
from speechlm.evaluation.lm.section_run import SectionRun
from speechlm.evaluation.setup import prepare
from speechlm.evaluation.store import Store, default_folder
from speechlm.evaluation.suite import CodecRun
from speechlm.utils.distributed import Shard

SuiteRun = CodecRun | SectionRun

KINDS: dict[str, tuple[Callable[..., Any], Callable[[Any, Path], SuiteRun]]] = {
    "codec": (config.fill, suite.execute),
    "conversion": (conversion.fill, conversion.execute),
    "lm": (lm_config.fill, lm_suite.execute),
}


def run(path: Path, overrides: list[str], out: Path) -> SuiteRun:
    """Run the suite that the file ``path`` declares (of a codec, if it has no ``kind``).

    Its statistics go to ``out/results.json``; :mod:`speechlm.report.suites` makes a page of it.

    Raises:
        SpeechLMError: for a bad declaration, or a suite that cannot run.
    """
    declared = load_yaml(path, overrides)
    kind = declared.get("kind", "codec")
    if kind not in KINDS:
        raise SpeechLMError(f"{path}: kind is one of {', '.join(KINDS)}, not {kind}")
    fill, execute = KINDS[kind]
    return execute(fill(declared, path), out)


def run_share(path: Path, overrides: list[str], share: Shard) -> int:
    """Judge the clips that fall to one job of a suite of codecs, into the cache that jobs share.

    :func:`run` then finds all of it there. Jobs may run at once, on several machines, be killed and
    be run again. Returns the number of clips.

    Raises:
        SpeechLMError: for a bad declaration, or a suite that cannot run, or not in jobs.
    """
    declared = load_yaml(path, overrides)
    if declared.get("kind", "codec") != "codec":
        raise SpeechLMError(f"{path}: suites of codecs are judged in jobs; this is none")
    plan = prepare(config.fill(declared, path))
    clips = plan.clips[share.index :: share.count]
    folder = Path(plan.config.cache) if plan.config.cache else default_folder()
    with Store(folder, f"{share.index + 1}-of-{share.count}") as store:
        suite.judge(replace(plan, clips=clips), store)
    return len(clips)
