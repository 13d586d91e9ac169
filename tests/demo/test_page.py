"""The codec in a real browser: its codes and files are Python's, and nothing leaves the page."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import speechlm
from speechlm import audio, codec
from speechlm.bitstream import Reader
from tests.evaluation.browser import Browser

RATE = 16000
FAKE_MICROPHONE = "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"
SECONDS = 120
"""Until something must have happened; only a failure takes that long."""


@pytest.fixture(scope="module")
def window(address) -> Iterator[Browser]:
    with Browser(*FAKE_MICROPHONE) as opened:
        opened.open(address)
        until(opened, lambda: status(opened) == "Ready")
        yield opened
        assert opened.errors == []
        assert opened.requests != []
        assert [url for url in opened.requests if not url.startswith((address, "data:"))] == []


@pytest.fixture(scope="module")
def wave(sample) -> np.ndarray:
    """Three seconds of speech, as a file of 16 bits holds them."""
    sound, _ = audio.read(sample, RATE)
    return np.round(sound[RATE : 4 * RATE] * 32768).astype(np.float32) / 32768


@pytest.fixture
def page(window, wave, tmp_path) -> Browser:
    """The page with that recording."""
    path = tmp_path / "speech.wav"
    audio.write(path, wave, RATE)
    open_file(window, path)
    return window


def status(window: Browser) -> str:
    """What the page says that it does, or what is wrong."""
    problem = "document.getElementById('problem')"
    text = "document.getElementById('status-text').textContent"
    return window.run(f"{problem}.hidden ? {text} : 'problem: ' + {problem}.textContent")


def until(window: Browser, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, status(window)
        time.sleep(0.05)


def open_file(window: Browser, path: Path, message: str = "") -> None:
    """Choose a file, and wait for its name or the problem ``message``."""
    window.run("document.getElementById('status-text').textContent = ''")
    node = window.call("Runtime.evaluate", expression="document.getElementById('file')")
    found = node["result"]["objectId"]
    window.call("DOM.setFileInputFiles", files=[str(path)], objectId=found)
    done = f"problem: {message}" if message else path.name
    until(window, lambda: status(window).startswith((done, "problem")))
    assert status(window).startswith(done)


def codes(window: Browser) -> np.ndarray:
    return np.array(window.run("demo.codes()")).T


def decoded(window: Browser, version: str = "decoded") -> np.ndarray:
    return np.array(window.run(f"demo.{version}()"), np.float32)


def test_codes_and_files_are_those_of_python(page, wave, tmp_path):
    model = codec.load()
    expected = model.encode(torch.from_numpy(wave)[None])[0].numpy()
    np.testing.assert_array_equal(codes(page), expected)
    # The file that it offers: 3 kbps before entropy coding, and the same sound.
    reader = Reader(io.BytesIO(bytes(page.run("demo.file()"))), entropy=model.entropy)
    held = np.concatenate([chunk.codes for chunk in reader], axis=1)
    np.testing.assert_array_equal(held, expected[:6])
    assert reader.samples == len(wave)
    assert reader.header.weights_hash == model.weights_hash
    assert reader.frames * 6 * 10 / 8 > 1.05 * len(page.run("demo.file()"))
    sound = model.decode(torch.from_numpy(expected[None, :6]), len(wave))[0].numpy()
    np.testing.assert_allclose(decoded(page), sound, atol=1e-4)
    # A file of Python's, with frames of any number of codebooks.
    path = tmp_path / "python.slm"
    speechlm.compress(tmp_path / "speech.wav", path, kbps=2)
    open_file(page, path)
    speechlm.decompress(path, tmp_path / "python.wav")
    sound, _ = audio.read(tmp_path / "python.wav", RATE)
    np.testing.assert_allclose(decoded(page), sound, atol=2e-4)


def test_what_it_cannot_open_is_one_line(page, tmp_path):
    (tmp_path / "notes.txt").write_text("no sound")
    open_file(page, tmp_path / "notes.txt", "the browser cannot read this file")
    (tmp_path / "cut.slm").write_bytes(bytes(page.run("demo.file()"))[:20])
    open_file(page, tmp_path / "cut.slm", "the stream ends inside its header")


def test_keyboard_loss_and_small_dark_screens(page):
    page.run("document.body.focus()")
    page.press("1")
    assert page.run("document.querySelector('[name=version]:checked').value") == "0"
    page.press(" ")
    assert page.run("demo.player.playing")
    until(page, lambda: page.run("demo.player.position > 0.05"))
    before = page.run("demo.player.position")
    page.press("2")  # at the same moment: it plays on
    assert page.run("demo.player.active") == 1
    assert page.run("demo.player.position") >= before
    page.press(" ")
    assert not page.run("demo.player.playing")
    page.run("document.getElementById('loss').focus()")
    for _ in range(4):
        page.press("ArrowRight")
    until(page, lambda: page.run("demo.player.active") == 2)
    assert page.run("document.getElementById('loss-value').textContent") == "20 %"
    sound, clean = decoded(page, "withLoss"), decoded(page)
    assert np.isfinite(sound).all()
    assert 0.3 < np.std(sound) / np.std(clean) < 1.2
    assert np.abs(sound - clean).max() > 0.05
    page.call("Emulation.setDeviceMetricsOverride",
              width=375, height=800, deviceScaleFactor=1, mobile=True)  # fmt: skip
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    page.call("Emulation.setEmulatedMedia", features=[dark])
    assert page.run("document.documentElement.scrollWidth") == 375
    style = "getComputedStyle(document.body)"
    paper, ink = (channels(page.run(f"{style}.{name}")) for name in ("backgroundColor", "color"))
    assert max(paper) < 64 < 192 < min(ink)
    # All that can be used is reached by the tabulator, and has a name.
    page.run("document.activeElement.blur()")
    reached = []
    for _ in range(16):
        page.press("Tab")
        reached.append(page.run("document.activeElement.id || document.activeElement.name"))
    for name in ("choose", "record", "sample", "rate", "loss", "play", "version", "seek", "live"):
        assert name in reached


def channels(colour: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", colour)]


def test_live_loopback_tells_its_latency(window):
    window.run("document.getElementById('live').click()")
    latency = "document.getElementById('live-latency').textContent"
    until(window, lambda: window.run(latency).endswith(" ms"))
    assert float(window.run(latency).split()[0]) > 40  # which the codec alone takes
    window.run("document.getElementById('live').click()")
    until(window, lambda: window.run("document.getElementById('live-facts').hidden"))
