"""The page in a real browser: it renders, sorts, plays, and asks nobody for anything."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlm.audio.spectrogram import loudest, spectrogram
from speechlm.report import suites
from speechlm.report.assets import encoded
from speechlm.report.axes import nice_ticks
from speechlm.report.charts import Point, Series, chart
from speechlm.report.render import SOUNDS
from tests.evaluation.browser import Browser, chromium
from tests.evaluation.voices import RATE, voice
from tests.tools import require

MAGIC = {"flac": b"fLaC", "opus": b"OggS", "mp3": b"\xff"}


@pytest.fixture(scope="module")
def page(tmp_path_factory, clips):
    """A report with a failed clip, an absent system and markup in its texts."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "suite.yaml").write_text(
        f"""
title: A <b>test</b> & more
about: "</script><script>window.broken = true</script>"
clips: {{sources: [{clips}]}}
systems:
  original: {{kind: original}}
  opus: {{kind: opus, kbps: [24, 6]}}
  "<i>absent": {{kind: codec2, kbps: [5]}}
metrics: [stoi, si_sdr, mel]
runtime: {{repeats: 0}}
workers: 0
cache: {folder / "cache"}
""",
        "utf-8",
    )
    suites.run(folder / "suite.yaml", [], folder)
    return folder / "report.html"


@pytest.fixture(scope="module")
def window():
    require(chromium() is not None, "chromium (Debian: chromium)")
    with Browser() as opened:
        yield opened


@pytest.fixture
def browser(window, page):
    window.open(page)
    yield window
    assert window.errors == []


def column(browser, name: str) -> list[str]:
    """What the rows of the table show in a column, in their order."""
    return browser.run(
        "[...document.querySelectorAll('#means tbody tr')].map((row) => "
        f"row.querySelector('[data-column=\"{name}\"] .mean')?.textContent ?? '')"
    )


def test_it_renders_without_a_request_or_an_error(browser, page):
    outside = [address for address in browser.requests if not address.startswith("data:")]
    assert outside == [page.resolve().as_uri()]
    assert browser.run("document.querySelectorAll('figure svg').length") == 3
    assert browser.run("document.title") == "A <b>test</b> & more"
    assert browser.run("window.broken === undefined")
    assert "has no 5 kbps mode" in browser.run("document.querySelector('tr.absent').textContent")
    loaded = "[...document.images].every((image) => image.complete && image.naturalWidth > 100)"
    assert browser.run(
        "(async () => { for (const d of document.querySelectorAll('details')) d.open = true;"
        "await Promise.all([...document.images].map((i) => { i.loading = 'eager'; "
        f"return i.decode(); }})); return {loaded}; }})()"
    )


def test_players_play_and_hand_over_the_moment(browser):
    assert browser.run("document.querySelectorAll('audio').length") == 9
    states = browser.run(
        """(async () => {
          const players = [...document.querySelectorAll("audio")];
          const states = [];
          for (const player of players) {
            player.preload = "auto";
            if (player.readyState < 3) {
              await new Promise((done, fail) => {
                player.oncanplay = done;
                player.onerror = () => fail(new Error(player.error.message));
                player.load();
              });
            }
            states.push([player.readyState, player.duration]);
          }
          return states;
        })()"""
    )
    assert all(ready >= 3 for ready, _ in states)
    assert [duration for _, duration in states] == pytest.approx([1.2] * 3 + [1.4] * 3 + [1.6] * 3)
    moment, first_stopped, marked = browser.run(
        """(async () => {
          const [first, second] = document.querySelectorAll("audio");
          first.currentTime = 0.5;
          await first.play();
          await second.play();
          return [second.currentTime, first.paused, second.closest("article").className];
        })()"""
    )
    assert moment >= 0.5
    assert first_stopped
    assert marked == "playing"


def test_a_title_sorts_by_keyboard_both_ways(browser):
    assert column(browser, "stoi")[0] == "1.000"
    browser.run("document.querySelector('#means th[data-column=stoi] button').focus()")
    for order in ("ascending", "descending"):
        browser.press("Enter", "\r")
        title = "document.querySelector('#means th[data-column=stoi]').ariaSort"
        assert browser.run(title) == order
        values = [float(text) for text in column(browser, "stoi") if text]
        assert values == sorted(values, reverse=order == "descending")
        assert column(browser, "stoi")[-1] == ""  # the absent system stays below
    assert browser.run("document.activeElement.closest('th').dataset.column") == "stoi"


@pytest.mark.parametrize("name", ["kbps", "mel"])
def test_what_did_not_run_stays_below(browser, name):
    button = f"document.querySelector('#means th[data-column={name}] button').click()"
    for _ in range(2):
        browser.run(button)
        assert browser.run("document.querySelector('#means tbody').lastElementChild.className") == (
            "absent"
        )


def test_the_first_key_reaches_the_skip_link(browser):
    browser.press("Tab")
    assert browser.run("document.activeElement.textContent") == "Skip to the table"


def test_differences_replace_means_and_back(browser):
    before = column(browser, "stoi")
    pick = "(() => {{ const s = document.getElementById('baseline'); s.value = '{}'; "
    pick += "s.dispatchEvent(new Event('change')); }})()"
    browser.run(pick.format("opus 24"))
    shown = column(browser, "stoi")
    assert shown[1] == "\u2013"
    assert shown[0].startswith("+")
    assert shown[2].startswith("\u2212")
    cell = "document.querySelector('tr[data-system=\"opus 6\"] [data-column={}]')"
    assert browser.run(cell.format("stoi") + ".className") == "worse"
    assert "n=3" in browser.run(cell.format("stoi") + ".textContent")
    browser.run(pick.format(""))
    assert column(browser, "stoi") == before


def test_a_missing_number_shows_its_reason(browser):
    cell = "document.querySelector('tr[data-system=original] [data-column=si_sdr] .failed')"
    assert browser.run(cell + ".textContent") == "n=0, 3 failed"
    assert "unbounded" in browser.run(cell + ".title")


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_and_can_be_read_in_the_dark(browser, page, dark):
    browser.open(page, 375, 812, dark)
    assert browser.run("document.documentElement.scrollWidth") == 375
    inside = "getBoundingClientRect().right <= 375"
    assert browser.run(f"[...document.querySelectorAll('audio, figure')].every((e) => e.{inside})")
    style = "getComputedStyle(document.querySelector('{}')).{}"
    paper = luminance(browser.run(style.format("body", "backgroundColor")))
    assert (paper < 0.1) == dark
    for selector in (
        "body",
        ".hint",
        "figcaption span",
        "nav a",
        ".interval",
        ".tick",
        ".failed",
    ):
        ink = "fill" if selector == ".tick" else "color"
        assert contrast(paper, luminance(browser.run(style.format(selector, ink)))) >= 4.5
    for index in range(8):
        colour = browser.run(
            f"getComputedStyle(document.documentElement).getPropertyValue('--s{index}')"
        )
        red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
        assert contrast(paper, luminance(f"rgb({red}, {green}, {blue})")) >= 3


def luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)``, as WCAG 2 defines it."""
    values = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(first: float, second: float) -> float:
    low, high = sorted((first, second))
    return (high + 0.05) / (low + 0.05)


def test_media_may_lie_beside_the_page(page, tmp_path):
    declared = page.parent / "suite.yaml"
    suites.run(declared, ["page.inline=false", "page.audio=mp3", "page.clips=1"], tmp_path)
    files = sorted(path.name for path in (tmp_path / "report-files").iterdir())
    assert files == [
        f"0000-{name}.{kind}"
        for name in ("opus-24", "opus-6", "original")
        for kind in ("mp3", "png")
    ]
    html = (tmp_path / "report.html").read_text("utf-8")
    assert all(f'src="report-files/{name}"' in html for name in files)
    assert "data:audio" not in html


def test_what_does_not_fit_is_left_out_and_said(page, tmp_path):
    declared = page.parent / "suite.yaml"
    suites.run(declared, ["page.limit_mb=0.12", "page.audio=opus"], tmp_path)
    html = (tmp_path / "report.html").read_text("utf-8")
    assert 'src="data:audio/ogg;' in html
    assert "2 more clips would not fit into this page" in html
    assert len(html) < 0.2e6


def test_sound_is_lossless_where_it_fits(page, tmp_path):
    declared = page.parent / "suite.yaml"

    def made(*changes: str) -> str:
        suites.run(declared, list(changes), tmp_path)
        return (tmp_path / "report.html").read_text("utf-8")

    def size(kind: str) -> int:
        return sum(map(len, re.findall('data:[^"]*', made(f"page.audio={kind}"))))

    media = {kind: size(kind) for kind in SOUNDS}
    assert media["opus"] < media["flac"]
    between = (media["opus"] + media["flac"]) / 2e6
    assert "Sound is lossless FLAC" in made(f"page.limit_mb={media['flac'] / 1e6 + 0.01}")
    smaller = made(f"page.limit_mb={between}")
    assert "Sound is Opus" in smaller
    assert "would not fit" not in smaller


@pytest.mark.parametrize("kind", MAGIC)
@pytest.mark.parametrize("rate", [16000, 24000, 44100])
def test_audio_is_of_the_kind_it_says(kind, rate):
    assert encoded(voice()[:rate], rate, kind).startswith(MAGIC[kind])


def test_pictures_of_a_clip_share_one_scale():
    wave = voice()
    peak = loudest(wave, RATE)
    picture = spectrogram(wave, RATE, peak)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 30_000
    assert spectrogram(wave / 10, RATE, peak) != picture
    assert spectrogram(wave / 10, RATE, loudest(wave / 10, RATE)) == picture
    spectrogram(wave[:10], RATE, peak)


@given(st.floats(-1e3, 1e3), st.floats(0, 1e3))
def test_ticks_are_few_and_reach_over_the_values(low, span):
    ticks = nice_ticks(low, low + span)
    slack = 1e-6 * (1 + abs(low) + span)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + span - slack
    assert 2 <= len(ticks) <= 6
    assert np.diff(ticks) == pytest.approx(ticks[1] - ticks[0])


def test_a_chart_is_drawn_where_intervals_are_missing():
    nan = float("nan")
    series = [Series("a", 0, [Point("a 3", 3, 2.0, nan, nan), Point("a 6", 6, 2.5, 2.4, 2.6)])]
    svg = ElementTree.fromstring(chart("PESQ <wb>", "", 2, series, None))
    titles = [element.text for element in svg.iter("title")]
    assert titles == ["a 3: 2.00 at 3.00 kbps", "a 6: 2.50 [2.40, 2.60] at 6.00 kbps"]
    assert json.dumps(svg.attrib["aria-label"]).startswith('"PESQ <wb> over')
