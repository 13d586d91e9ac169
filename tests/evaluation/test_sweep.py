"""Continuations over temperatures, of a model that says what it is told to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from speechlm.errors import SpeechLMError
from speechlm.evaluation.config import ClipsConfig
from speechlm.evaluation.lm import sweep
from speechlm.evaluation.lm.asr_judges import Transcript
from speechlm.evaluation.lm.config import SweepConfig
from speechlm.evaluation.lm.gslm_operating_points import points
from speechlm.evaluation.lm.result_table import Section
from speechlm.evaluation.results import Results
from speechlm.lm.generate.sampling import Sampling
from speechlm.types import Codes

from .voices import RATE, voice

HOP = 320
LINES = ["we went home", "we went out", "they went home", "they stay at home"] * 3
SAID = {
    0.5: ["we went home we went home"] * 3,
    1.0: ["out we went out we went", "we went at home at home", ""],
    1.5: ["out zug at", "beyond", "went krk"],
}
"""After each prompt, at each temperature."""
REAL = ["they went out we stay", "they stay at out", "we stay home we stay"]


class Teller:
    """A model, a tokenizer and ears: what is heard depends on how long it lasts."""

    name, rate, seconds, num_codebooks = "teller", RATE, HOP / RATE, 1

    def __init__(self) -> None:
        self.model = self.tokenizer = self.ears = self
        self.names, self.style = ["ear", "other"], "basic"
        self.units = SimpleNamespace(hop_length=HOP, variable=False)
        self.how: list[Sampling] = []

    def warm(self) -> None:
        pass

    def wave(self, clip: Any) -> np.ndarray:
        found: np.ndarray = clip.read(RATE).copy()
        return found

    def begin(self, wave: torch.Tensor) -> torch.Tensor:
        return torch.zeros(1, 1, wave.shape[1] // HOP, dtype=torch.int64)

    def stream_decoder(self, voice: torch.Tensor) -> Any:
        return SimpleNamespace(
            push=lambda units: torch.zeros(1, HOP * units.shape[2]), flush=lambda: torch.zeros(1, 0)
        )

    def continue_speech(self, heard: Codes, frames: int, how: Sampling) -> Iterator[Codes]:
        if how.temperature == 1.5 and how.seed == 11:
            raise SpeechLMError("beyond the context")
        self.how.append(how)
        assert frames == 20 + how.seed - 10
        return iter(np.zeros((5, 1), np.int64))

    def hear(self, wave: np.ndarray, rate: int) -> dict[str, Transcript]:
        """Of what it says itself there are five frames; recordings are longer.

        The other ear is deaf to all but these.
        """
        if len(wave) == 5 * HOP:
            how = self.how[-1]
            said = Transcript(SAID[how.temperature][how.seed - 10])
            return {"ear": said, "other": Transcript(reason="deaf")}
        return dict.fromkeys(self.names, Transcript(REAL[len(wave) // HOP - 20]))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> SweepConfig:
    folder = tmp_path_factory.mktemp("sweep")
    for number in range(3):
        wave = voice((30 + number) * HOP / RATE, seed=number)
        soundfile.write(folder / f"{number}.wav", wave, RATE, subtype="PCM_16")
    (folder / "text.txt").write_text("\n".join(LINES), "utf-8")
    (folder / "words.txt").write_text("we\nthey\nwent\nstay\nout\nat\nhome\nbluff\n", "utf-8")
    return SweepConfig(
        clips=ClipsConfig([str(folder / "*.wav")]),
        prompt=10 * HOP / RATE,
        seconds=1.0,
        temperatures=list(SAID),
        texts=[str(folder / "te*.txt")],
        words=[str(folder / "words.txt")],
        seed=10,
    )


@pytest.fixture(scope="module")
def found(config: SweepConfig) -> dict[str, Results]:
    teller: Any = Teller()
    sections = sweep.run(config, teller)
    limits = [(how.top_p, how.top_k, how.repetition_window, how.guidance) for how in teller.how]
    assert set(limits) == {(1, 0, 0, 1)}
    return {name: section.results() for name, section in sections.items()}


def summary(found: dict[str, Results], system: str, column: str) -> dict[str, Any]:
    figure: dict[str, Any] = found["sweep:ear"].data["summary"][system][column]
    return figure


def test_each_temperature_is_a_row_beside_the_recordings(found: dict[str, Results]) -> None:
    systems = ["teller at 0.5", "teller at 1", "teller at 1.5", "recording"]
    assert found["sweep:ear"].systems == systems
    for system in systems:
        assert len(found["sweep:ear"].data["rows"][system]) == 3
    texts = [row["text"] for row in found["sweep:ear"].data["rows"]["recording"]]
    assert texts == REAL
    # Of the hotter two, two texts are heard, so that each is compared with one other.
    assert "each text with 1 others" in found["sweep:ear"].data["about"]
    assert summary(found, "teller at 0.5", "self")["mean"] == 100
    assert summary(found, "teller at 0.5", "auto")["mean"] == pytest.approx(90)
    assert summary(found, "teller at 0.5", "ended")["mean"] == 100
    assert summary(found, "recording", "ended")["n"] == 0


def test_each_recogniser_is_heard(found: dict[str, Results]) -> None:
    other, points = found["sweep:other"], found["sweep points:other"]
    assert other.systems == found["sweep:ear"].systems
    recordings = [each.data["summary"]["recording"]["ppx"] for each in (other, found["sweep:ear"])]
    assert recordings[0] == recordings[1]
    lost = other.data["summary"]["teller at 0.5"]
    assert lost["bits"]["reasons"] == {"deaf": 3}
    assert lost["ended"]["n"] == 3  # which nobody has to hear
    assert points.data["summary"]["teller"]["ppx"]["mean"] is None
    assert "that other hears in that alone" in other.data["about"]


def test_what_is_not_heard_or_not_said_is_counted(found: dict[str, Results]) -> None:
    silent = summary(found, "teller at 1", "bits")
    assert (silent["n"], silent["failed"], silent["reasons"]) == (2, 1, {"no word was heard": 1})
    assert summary(found, "teller at 1", "heard")["mean"] == pytest.approx(200 / 3)
    broken = summary(found, "teller at 1.5", "words")
    assert broken["reasons"] == {"beyond the context": 1}
    # Of zug, they, stay, ... one of each text is no word.
    assert broken["mean"] == pytest.approx(100 * 3 / 5)
    assert summary(found, "teller at 1.5", "ppx")["n"] == 2


def test_figures_are_of_the_whole_set(found: dict[str, Results]) -> None:
    for system in found["sweep:ear"].systems:
        own, auto, bits = (
            summary(found, system, name)["mean"] for name in ("self", "auto", "bits")
        )
        assert summary(found, system, "vert")["mean"] == pytest.approx(math.sqrt(own * auto))
        assert summary(found, system, "ppx")["mean"] == pytest.approx(2**bits, rel=1e-5)
    assert summary(found, "teller at 0.5", "ppx")["mean"] < 5
    hot, warm = (summary(found, f"teller at {each}", "ppx")["mean"] for each in ("1.5", "1"))
    assert hot > warm > summary(found, "teller at 0.5", "ppx")["mean"]


def test_points_are_between_temperatures(found: dict[str, Results]) -> None:
    """Recordings are as diverse, and as probable, as what is said between 1 and 1.5."""
    places = found["sweep points:ear"].data["summary"]["teller"]

    def at(temperature: str, column: str) -> float:
        return float(summary(found, f"teller at {temperature}", column)["mean"])

    share = {
        name: (summary(found, "recording", name)["mean"] - at("1", name))
        / (at("1.5", name) - at("1", name))
        for name in ("vert", "ppx")
    }
    assert all(0 < each < 1 for each in share.values())
    for name, other in (("ppx", "vert"), ("vert", "ppx"), ("words", "vert")):
        wanted = at("1", name) + share[other] * (at("1.5", name) - at("1", name))
        assert places[name]["mean"] == pytest.approx(wanted, rel=1e-4)
    width = abs((share["ppx"] - share["vert"]) * (at("1.5", "vert") - at("1", "vert"))) / 100
    both = places["ppx"]["mean"] + summary(found, "recording", "ppx")["mean"]
    assert places["auc"]["mean"] == pytest.approx(width * both / 2, rel=1e-4)


def test_a_curve_beyond_the_recordings_has_an_area_below_nothing() -> None:
    """Columns are VERT, perplexity and words; recordings lie on a line, and above and below it."""
    curve = np.array([[40.0, 50, 90], [30, 100, 80], [20, 200, 70]])
    on, good, bad = (points(curve, np.array([25, ppx, 90])) for ppx in (150.0, 180, 120))
    assert on.auc == pytest.approx(0)
    # From 25 % and 150 to 22 % and 180, and from 28 % and 120.
    assert good.auc == pytest.approx(-165 * 0.03)
    assert bad.auc > 0


def test_a_point_that_is_not_reached_has_a_reason(config: SweepConfig) -> None:
    cold = SweepConfig(**{**vars(config), "temperatures": [0.5]})
    teller: Any = Teller()
    places = sweep.run(cold, teller)["sweep points:ear"].results().data["summary"]["teller"]
    for figure in places.values():
        assert figure["mean"] is None and figure["failed"] == 3
    for name in ("ppx", "vert", "words"):
        assert places[name]["reasons"] == {sweep.PLACELESS: 3}
    assert places["auc"]["reasons"] == {sweep.AREALESS: 3}


def test_all_numbers_are_one_word_and_in_every_dictionary(config: SweepConfig) -> None:
    reader = sweep.TextJudge(config, "basic")
    few, many = (reader.cells(reader.words(text)) for text in ("we went 12", "we went 90125"))
    assert few == many
    assert few["words"].value == 100


def test_nobody_listens_or_nothing_is_long_enough(config: SweepConfig) -> None:
    deaf: Any = Teller()
    deaf.names = []
    with pytest.raises(SpeechLMError, match="somebody has to hear"):
        sweep.run(config, deaf)
    hearing: Any = Teller()
    for change, says in (
        ({"prompt": 9.0}, "no recording is longer than a prompt of 9 s"),
        ({"texts": []}, r"sweep\.texts: name files"),
        ({"words": ["nowhere.txt"]}, r"nowhere\.txt: no such tokenized corpus or file"),
    ):
        other = SweepConfig(**{**vars(config), **change})
        with pytest.raises(SpeechLMError, match=says):
            sweep.run(other, hearing)
    assert Path(config.words[0]).is_file()


def test_texts_are_compared_with_as_many_in_every_row(config: SweepConfig) -> None:
    """Of three systems, with 30, 10 and 1 texts heard."""
    reader = sweep.TextJudge(config, "basic")
    one = sweep._Said(Transcript("we went home"), {})
    none = sweep._Said(Transcript(""), {})
    said = {"all": [one] * 30, "some": [one] * 10 + [none] * 20, "last": [one] + [none] * 29}
    assert sweep._references(said, reader) == 9
    assert sweep._references({"all": said["all"]}, reader) == sweep.REFERENCES
    section = Section("", "", sweep.COLUMNS)
    section.items = [{"id": str(number)} for number in range(30)]
    section.system("last", "")
    sweep._add(section, "last", said["last"], reader, 9)
    last = section.results().data["summary"]["last"]
    assert last["self"]["reasons"] == {sweep.FEW: 1, sweep.NOTHING: 29}
    assert last["vert"]["mean"] is None and last["ppx"]["mean"] > 1
