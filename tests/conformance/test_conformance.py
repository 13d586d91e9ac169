"""The conformance suite finds each fault, by the check for it alone."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
from typer.testing import CliRunner

from speechlm.cli import app
from speechlm.conformance import signals, suite
from speechlm.conformance.subject import CodecSubject, CommandSubject, open_subject
from speechlm.errors import SpeechLMError
from tests.conformance.toys import FAULTS, RATE, Toy
from tests.tools import require

WAVES = signals.recordings(None, RATE)


def failed(report: suite.ConformanceReport) -> list[str]:
    return [outcome.check for outcome in report.outcomes if outcome.status == "fail"]


def test_a_codec_without_fault_passes():
    report = suite.run(CodecSubject(Toy()), WAVES)
    assert not failed(report), report
    skipped = [outcome.check for outcome in report.outcomes if outcome.status == "n/a"]
    assert skipped == ["instruction sets"]  # a codec object cannot be opened in another process


@pytest.mark.parametrize(
    ("toy", "checks"), FAULTS.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_a_fault_is_found_by_its_check_alone(toy, checks):
    report = suite.run(
        CodecSubject(toy()),
        WAVES,
        [name for name in suite.CHECKS if name != "growth" or "growth" in checks],
    )
    assert set(failed(report)) == checks, report


def test_an_error_is_a_failure_with_its_message():
    report = suite.run(
        CodecSubject(next(toy for toy in FAULTS if toy.__name__ == "Raises")()), WAVES, ["silence"]
    )
    assert report.outcomes[0].reason == "ZeroDivisionError: silence has no level"


def test_random_weights_are_not_judged_by_their_sound():
    report = suite.run(
        CodecSubject(Toy(), trained=False), WAVES, ["level", "silence", "re-encoding"]
    )
    assert {outcome.status for outcome in report.outcomes} == {"n/a"}


def test_a_codec_by_the_name_of_its_function():
    subject = open_subject("tests.conformance.toys:Toy")
    report = suite.run(subject, WAVES, ["instruction sets", "length"])
    assert [outcome.status for outcome in report.outcomes] == ["pass", "pass"]
    with pytest.raises(SpeechLMError, match="no_such"):
        open_subject("tests.conformance.toys:no_such")
    with pytest.raises(SpeechLMError, match="gives a dict, not a"):
        open_subject("builtins:dict")


def test_commands_are_checked():
    copy = f"{sys.executable} -c 'import shutil, sys; shutil.copy(*sys.argv[1:])' {{in}} {{out}}"
    report = suite.run(
        CommandSubject(copy, copy, RATE, 128.0), WAVES, ["length", "bits", "causality", "batch"]
    )
    assert [outcome.status for outcome in report.outcomes] == ["pass", "pass", "pass", "n/a"]
    stated_less = CommandSubject(copy, copy, RATE, 64.0)
    assert failed(suite.run(stated_less, WAVES, ["bits"])) == ["bits"]
    fails = suite.run(CommandSubject("false {in} {out}", copy, RATE, None), WAVES, ["length"])
    assert fails.outcomes[0].reason == "SpeechLMError: false: status 1: wrote no output"


def test_opus_by_its_commands():
    require(shutil.which("opusenc") is not None, "opusenc (Debian: opus-tools)")
    opus = CommandSubject(
        "opusenc --quiet --bitrate 24 {in} {out}",
        "opusdec --quiet --rate 16000 {in} {out}",
        16000,
        24.0,
    )
    report = suite.run(opus, signals.recordings(None, 16000), ["length", "level", "silence"])
    assert not failed(report), report


def test_the_command_prints_and_exits(tmp_path):
    runner = CliRunner()
    chosen = ["--check", "length", "--check", "bits"]
    good = runner.invoke(app, ["conform", "tests.conformance.toys:Toy", "--json", *chosen])
    assert good.exit_code == 0
    report = json.loads(good.stdout)
    assert [outcome["status"] for outcome in report["outcomes"]] == ["pass", "pass"]
    saved = tmp_path / "toy.json"
    saved.write_text(good.stdout)
    table = runner.invoke(app, ["conform", "--results", str(saved)])
    assert "| length | pass: lengths tried" in table.stdout
    with pytest.raises(SpeechLMError, match="holds no results"):
        suite.read_report(tmp_path / "none.json")
    bad = runner.invoke(app, ["conform", "tests.conformance.toys:ClaimsHalf", *chosen])
    assert bad.exit_code == 1
    assert "codes take more bits than stated" in bad.stdout.replace("\n", " ").replace("│", "")
