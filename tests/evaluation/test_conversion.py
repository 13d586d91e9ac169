"""The suite of voice conversion: who speaks as whom, and what is compared with what."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechlm import hub
from speechlm.errors import SpeechLMError
from speechlm.evaluation import conversion
from speechlm.evaluation.clips import Clip
from speechlm.evaluation.conversion import pairs
from speechlm.evaluation.lm.results import LMResults
from speechlm.evaluation.metrics.base import Unscored
from speechlm.evaluation.recognition import Listener
from speechlm.report import suites
from speechlm.tokenizers import load as units
from speechlm.tokenizers.load import embed
from speechlm.vocoder import VocodedUnits, VocoderConfig, VocoderNetwork
from speechlm.vocoder.config import VoiceConfig
from tests.tokenizers.test_stacked import CLUSTERS, semantic

from .test_lm import Parrot
from .voices import RATE, voice

SUITE = Path(__file__).parents[2] / "eval" / "conversion.yaml"
SPEAKERS = ("ann", "bob", "cat")


@given(st.lists(st.sampled_from("abc"), max_size=12), st.integers(0, 99))
def test_a_recording_meets_three_others(speakers: list[str], seed: int) -> None:
    clips = [Clip(str(n), Path(f"{n}.wav"), 1.0, speaker=s) for n, s in enumerate(speakers)]
    often = {each for each in speakers if speakers.count(each) > 1}
    if len(often) < 2:
        with pytest.raises(SpeechLMError, match="two speakers or more"):
            list(pairs(clips, seed))
        return
    found = list(pairs([*clips, Clip("nobody", Path("x.wav"), 1.0)], seed))
    assert [pair.source for pair in found] == [clip for clip in clips if clip.speaker in often]
    for pair in found:
        every = {pair.source.id, pair.target.id, pair.of_source.id, pair.of_target.id}
        assert len(every) == 4
        assert pair.source.speaker == pair.of_source.speaker != pair.target.speaker
        assert pair.target.speaker == pair.of_target.speaker in often
    assert found == list(pairs(clips, seed))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A vocoder that nobody trained, and two recordings of each of three speakers."""
    folder = tmp_path_factory.mktemp("conversion")
    small = VoiceConfig(8, 1, 4)
    said = semantic(folder / "said", form="frames")
    config = VocoderConfig(
        weights=units.load(said).units.weights,
        codebook_size=CLUSTERS, dim=16, blocks=1, ahead=1, voice=small, duration_dim=8,
    )  # fmt: skip
    torch.manual_seed(0)
    model = hub.save_model(folder / "vocoder", config, VocoderNetwork(config).state_dict())
    embed(said, model)
    lines = []
    for number in range(6):
        name, speaker = f"{number}.wav", SPEAKERS[number % 3]
        wave = voice(0.6 + 0.1 * number, seed=number)
        soundfile.write(folder / name, wave, RATE, subtype="PCM_16")
        lines.append(json.dumps({"audio": name, "text": "one two", "speaker": speaker}))
    (folder / "list.jsonl").write_text("\n".join(lines), "utf-8")
    return SimpleNamespace(folder=folder, model=model)


def settings(world: SimpleNamespace, *more: str) -> list[str]:
    own = [f"model={world.model}", f"clips.sources=[{world.folder / 'list.jsonl'}]"]
    own += ["clips.min_seconds=0", f"cache={world.folder / 'cache'}", "normaliser=basic"]
    return [*own, *more]


class Deaf(Parrot):
    fingerprint = about = "a deaf parrot"

    def transcribe(self, wave: np.ndarray) -> str:
        return "one"


def judge(who: Listener) -> Parrot:
    assert who.model == (None if who.name == "tiny-en" else "/a/folder")
    return Parrot() if who.name == "tiny-en" else Deaf()


@pytest.fixture(scope="module")
def found(world: SimpleNamespace) -> LMResults:
    """With a vocoder that repeats the prompt, and a judge who knows recordings by their samples."""
    known = {}
    for number in range(6):
        wave, _ = soundfile.read(world.folder / f"{number}.wav", dtype="float32")
        known[wave[:500].tobytes()] = number

    def heard(wave: np.ndarray, rate: int) -> np.ndarray:
        number = known[wave[:500].tobytes()]
        if number == 5:
            raise Unscored("no voice")
        found: np.ndarray = np.eye(3, dtype=np.float32)[number % 3]
        return found

    def repeat(self: VocodedUnits, units: torch.Tensor, length: int, voice: torch.Tensor) -> object:
        assert units.shape[2] == -(-length // 320)
        return voice.repeat(1, 2)[:, :length]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "embedding", heard)
        patch.setattr(VocodedUnits, "decode", repeat)
        patch.setattr("speechlm.evaluation.setup.recognition.build", judge)
        second = "recognisers.base={kind: whisper, model: /a/folder}"
        made = suites.run(SUITE, settings(world, second), world.folder / "out")
    assert isinstance(made, LMResults)
    return made


def values(found: LMResults, system: str, column: str) -> np.ndarray:
    kept: np.ndarray = found.sections["conversion"].cells(system, column)[0]
    return kept


def test_voices_are_those_of_source_and_target(found: LMResults) -> None:
    section = found.sections["conversion"]
    assert section.systems == ["recording", "own voice", "converted", "target"]
    for system, source, target in (
        ("recording", 1, 0), ("own voice", 1, 0), ("converted", 0, 1), ("target", 0, 1)
    ):  # fmt: skip
        cosines = values(found, system, "source"), values(found, system, "target")
        assert set(cosines[0][np.isfinite(cosines[0])]) == {source}
        assert set(cosines[1][np.isfinite(cosines[1])]) == {target}
        nearer = values(found, system, "nearer")
        assert set(nearer[np.isfinite(nearer)]) == {100.0 * target}
    assert [clip["target"] != clip["speaker"] for clip in section.data["clips"]] == [True] * 6


def test_a_voice_that_nobody_finds_is_counted(found: LMResults) -> None:
    summary = found.sections["conversion"].data["summary"]
    lost = [summary[system]["nearer"] for system in ("recording", "converted")]
    for each in lost:
        assert each["n"] + each["failed"] == 6
        assert each["failed"] > 0 and each["reasons"] == {"no voice": each["failed"]}


def test_what_is_understood_is_of_the_source(found: LMResults, world: SimpleNamespace) -> None:
    summary = found.sections["conversion"].data["summary"]
    for system in ("recording", "own voice", "converted"):
        assert summary[system]["cer:tiny-en"]["mean"] == 0
        assert summary[system]["cer:tiny-en"]["n"] == 6
        assert summary[system]["wer:base"]["mean"] == 50  # beside it
    assert summary["target"]["cer:tiny-en"]["n"] == 0  # it says something else
    assert LMResults.load(world.folder / "out" / "results.json").data == found.data
    page = (world.folder / "out" / "report.html").read_text("utf-8")
    assert "Cosine to target" in page and "data:audio" in page
    assert "WER tiny-en" in page and "WER base" in page and "a deaf parrot" in page


def test_a_vocoder_speaks_in_it(
    world: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real thing, of no training: whatever the voice, it is as long as the source."""
    lengths = []

    def measured(wave: np.ndarray, rate: int) -> np.ndarray:
        lengths.append(len(wave))
        return np.array([1.0, 0.0], np.float32)

    monkeypatch.setattr(conversion, "embedding", measured)
    more = ["recognisers.tiny-en=null", "page.clips=1"]
    made = suites.run(SUITE, settings(world, *more), tmp_path)
    assert isinstance(made, LMResults)
    assert values(made, "converted", "nearer").tolist() == [0] * 6
    for at in range(0, len(lengths), 6):  # two references, then the four systems
        assert lengths[at + 2] == lengths[at + 3] == lengths[at + 4]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model=TINY", "is not a vocoder"),
        ("clips.limit=2", "conversion takes two speakers or more, with two recordings of each"),
        ("page.audio=wav", r"page\.audio=wav is none of"),
        ("voices=3", "unknown key voices"),
    ],
)
def test_a_bad_suite_is_one_line(
    override: str, says: str, world: SimpleNamespace, tiny_model: Path, tmp_path: Path
) -> None:
    more = ["recognisers.tiny-en=null", override.replace("TINY", str(tiny_model))]
    with pytest.raises(SpeechLMError, match=says) as no:
        suites.run(SUITE, settings(world, *more), tmp_path / "out")
    assert "\n" not in str(no.value)
    assert not (tmp_path / "out").exists()
