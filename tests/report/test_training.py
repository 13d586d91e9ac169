"""The page of a training: its curves, its clips, and what it says of an odd run folder."""

from __future__ import annotations

import re
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from speechlm.cli import main
from speechlm.errors import SpeechLMError
from speechlm.report import training as report
from speechlm.report.axes import Axis
from speechlm.report.curves import MAX_POINTS, Curve, learning_curves
from speechlm.training.metrics_logger import MetricsLogger
from speechlm.training.run_log import RunLog
from speechlm.training.validation_clips import (
    MAX_CLIPS,
    MAX_SECONDS,
    MAX_STEPS,
    ValidationClips,
    numbered_clips,
)
from tests.evaluation.browser import Browser, chromium
from tests.tools import require

RATE = 16000


def clips(seed: int, seconds: float = 3.0, count: int = 2):
    waves = 0.1 * torch.randn(count, round(seconds * RATE), generator=torch.manual_seed(seed))
    return {f"clip-{n}": (wave, RATE) for n, wave in enumerate(waves, start=1)}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run that was restarted once, interrupted at step 60, and killed within a line."""
    folder = tmp_path_factory.mktemp("runs") / "<b>mine"
    folder.mkdir()
    with MetricsLogger(folder, 0) as logger:
        logger.write(20, "train", {"model/loss": 9.0})
        logger.write_clips(20, clips(9), clips(0))
    for resumed in (0, 40):
        with MetricsLogger(folder, resumed, anew=not resumed) as logger:
            for step in range(resumed + 10, 61, 10):
                mel = 200.0 / step
                values = {"model/loss": 2 * mel, "mel": mel, "rate": 1e-3, "seconds": 0.5}
                values |= {"model/grad_norm": 3.0, "data_seconds": 0.1, "codebook_use": 0.75}
                values |= {"codebook_perplexity": 6.0, "codebook_perplexity/1": 5.0}
                logger.write(step, "train", values)
                if step % 20 == 0:
                    loss = 1.0 if step == 40 else 2.0
                    logger.write(
                        step, "valid", {"loss": loss, "mel@4": mel, "mel@unquantized": float("nan")}
                    )
                    logger.write_clips(step, clips(step), clips(0))
    with (folder / "log.jsonl").open("a") as file:
        file.write('{"step": 70, "ki')
    return folder


@pytest.fixture(scope="module")
def page(run_folder, tmp_path_factory):
    return report.write(run_folder, tmp_path_factory.mktemp("page") / "page.html")


def test_a_log_is_read_by_kind_and_step(run_folder):
    log = RunLog.read(run_folder)
    assert list(log.lines["train"]) == [10, 20, 30, 40, 50, 60]
    assert list(log.lines["valid"]) == [20, 40, 60]
    assert log.lines["train"][50]["mel"] == 4.0
    assert (log.last_step, log.seconds()) == (60, 30.0)
    assert (log.unreadable, log.superseded, log.earlier) == (1, 3, {"log.1.jsonl": 1})


def test_every_metric_is_in_a_chart_of_its_group(page):
    html = page.read_text("utf-8")
    charts = {
        section: re.findall(
            'data-metric="([^"]*)"', html.partition(f'id="{section}"')[2].partition("</section>")[0]
        )
        for section in ("losses", "codebooks", "optimizer", "speed")
    }
    assert charts == {
        "losses": ["model/loss", "mel", "loss"],
        "codebooks": ["codebook_use", "codebook_perplexity"],
        "optimizer": ["rate", "model/grad_norm"],
        "speed": ["seconds", "data_seconds"],
    }
    for text in (
        "Training of &lt;b&gt;mine",
        "validation, 4 codebooks: 3.3333 at step 60",
        "training, codebook 1: 5 at step 60",
        "60 steps",
        "lowest validation loss 1.0000 at step 40",
        "3 lines are of steps that were taken again",
        "log.1.jsonl has 1 lines",
        "1 lines of the log are cut off",
    ):
        assert text in html
    assert "<b>mine" not in html
    assert "validation, unquantized: " not in html  # without a value


def test_clips_stand_beside_their_originals(page, run_folder):
    cards = re.findall('<article aria-label="([^"]*)"', page.read_text("utf-8"))
    names = ["original", "step 20", "step 40", "step 60"]
    assert cards == [f"clip-{clip}, {name}" for clip in (1, 2) for name in names]
    saved = ValidationClips(run_folder)
    for step, seed in ((None, 0), (40, 40)):
        for name, (wave, rate) in saved.read(step).items():
            expected, _ = clips(seed)[name]
            assert rate == RATE
            assert wave == pytest.approx(expected.numpy(), abs=2**-15)


def test_the_page_in_a_browser(page):
    require(chromium() is not None, "chromium (Debian: chromium)")
    with Browser() as browser:
        browser.open(page)
        outside = [address for address in browser.requests if not address.startswith("data:")]
        assert outside == [page.resolve().as_uri()]
        assert browser.run("document.title") == "Training of <b>mine"
        assert browser.run("document.querySelectorAll('figure > svg').length") == 9
        browser.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        decoded = browser.run(
            "Promise.all([...document.images].map((i) => { i.loading = 'eager'; "
            "return i.decode(); })).then((all) => all.length)"
        )
        assert decoded == 8
        # Within a clip another step goes on where the last one was.
        moment, duration = browser.run(
            """(async () => {
              const [first, second] = document.querySelectorAll("audio");
              first.currentTime = 0.2;
              await first.play();
              await second.play();
              return [second.currentTime, second.duration];
            })()"""
        )
        assert moment >= 0.2
        assert duration == pytest.approx(3.0)
        browser.run("document.querySelectorAll('#validations th button')[1].click()")
        rows = "[...document.querySelectorAll('#validations tbody th')].map((t) => t.textContent)"
        assert browser.run(rows)[0] == "40"
        browser.open(page, 375, 812, dark=True)
        assert browser.run("document.documentElement.scrollWidth") == 375
        assert browser.errors == []


def test_a_run_without_clips_and_validations(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 5, "kind": "train", "text/loss": 2.5}\n')
    html = report.write(tmp_path, tmp_path / "report.html").read_text("utf-8")
    assert html.count('<svg viewBox="0 0 420') == 1
    assert "no validation was reached" in html
    assert "<audio" not in html


@pytest.mark.parametrize(
    ("log", "says"),
    [
        (None, "no run folder; give training.out"),
        ("", "no entry yet"),
        ("\n[1]\n{}\n", "no entry yet"),
    ],
)
def test_what_is_no_run_is_one_line(log, says, tmp_path, monkeypatch, capsys):
    if log is not None:
        (tmp_path / "log.jsonl").write_text(log)
    monkeypatch.setattr(sys, "argv", ["speechlm", "report", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert not (tmp_path / "report.html").exists()


def test_other_files_are_not_replaced(run_folder, tmp_path, monkeypatch, capsys):
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    monkeypatch.setattr(sys, "argv", ["speechlm", "report", str(run_folder), "-o", str(notes)])
    with pytest.raises(SystemExit):
        main()
    assert "something else than an HTML page" in capsys.readouterr().err
    assert notes.read_text() == "mine"


def test_a_broken_clip_is_named(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 5, "kind": "train", "loss": 2.5}\n')
    broken = tmp_path / "samples" / "00000005" / "clip-1.flac"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no audio")
    with pytest.raises(SpeechLMError, match=r"clip-1\.flac"):
        report.write(tmp_path, tmp_path / "report.html")


def test_the_board_has_spectrograms_of_clips_and_originals(run_folder):
    events = EventAccumulator(str(run_folder / "tensorboard")).Reload()
    assert {"valid/clip-1", "valid/original/clip-1"} <= set(events.Tags()["images"])
    assert events.Tags()["images"] == events.Tags()["audio"]
    images = events.Images("valid/clip-1")
    assert images[-1].step == 60
    assert all(image.encoded_image_string.startswith(b"\x89PNG") for image in images)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=60))
def test_kept_steps_are_few_and_spread(tmp_path_factory, gaps):
    saved = ValidationClips(tmp_path_factory.mktemp("run"))
    steps = np.cumsum(gaps).tolist()
    for step in steps:
        (saved.folder / f"{step:08d}").mkdir(parents=True)
        saved.write(step, {})
    kept = saved.steps()
    assert len(kept) == min(len(steps), MAX_STEPS)
    assert (kept[0], kept[-1]) == (steps[0], steps[-1])
    # No stretch is bare: where steps were dropped, no gap is far larger than an even one.
    assert max(np.diff(kept), default=0) <= max(400, 3 * (steps[-1] - steps[0]) / (MAX_STEPS - 1))


def test_saved_clips_are_bounded(tmp_path):
    saved = ValidationClips(tmp_path)
    saved.write(5, clips(0, seconds=MAX_SECONDS + 1, count=MAX_CLIPS + 2))
    found = saved.read(5)
    assert list(found) == [f"clip-{n}" for n in range(1, MAX_CLIPS + 1)]
    assert all(len(wave) == MAX_SECONDS * RATE for wave, _ in found.values())
    assert list(numbered_clips(torch.zeros(9, 4), RATE)) == list(found)


def test_a_resume_drops_what_it_decodes_again(tmp_path):
    for step in (10, 20, 30):
        ValidationClips(tmp_path).write(step, clips(step))
    MetricsLogger(tmp_path, 20).close()
    assert ValidationClips(tmp_path).steps() == [10, 20]
    (tmp_path / "log.jsonl").write_text("")
    MetricsLogger(tmp_path, 0, anew=True).close()
    assert ValidationClips(tmp_path).steps() == []


def test_long_curves_are_averaged_and_gaps_left_out():
    values = np.arange(5000.0)
    values[::7] = np.nan
    points = Curve("a", 0, range(5000), values).points()
    assert len(points) == MAX_POINTS
    assert all(step == pytest.approx(value) for step, value in points)
    assert learning_curves("a", [Curve("a", 0, [1], [float("nan")])]) is None


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30), st.floats(-1, 1))
def test_curves_stay_within_their_chart(values, shift):
    steps = range(1, len(values) + 1)
    drawn = learning_curves("x", [Curve("x", 0, steps, [value + shift for value in values])])
    svg = ElementTree.fromstring(drawn)
    path = next(each for each in svg.iter("path") if each.get("class") == "line").get("d")
    places = [tuple(map(float, place.split(","))) for place in path[1:].split("L")]
    assert all(46 <= x <= 408 and 16 <= y <= 242 for x, y in places)
    if min(values) + shift > 0:
        heights = [y for _, y in places]
        order = np.argsort(values, kind="stable")
        assert all(np.diff(np.array(heights)[order]) <= 0)


def test_an_axis_maps_its_ends():
    axis = Axis(2.0, 4.0, 10.0, 30.0)
    assert (axis(2.0), axis(3.0), axis(4.0)) == (10.0, 20.0, 30.0)
    assert axis.holds(4.0)
    assert not axis.holds(4.1)
