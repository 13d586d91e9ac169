"""What is masked is what may be, as much as was asked for, and hidden from the model."""

import torch

from speechlm.lm.config import IdsConfig
from speechlm.training.masking import SPAN, MaskConfig, masked_columns

IDS = IdsConfig(specials=4, text=6, codebook_size=8, num_codebooks=2)


def batch(time: int = 400) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A special token, text that is given, text to be written, and speech, in 64 rows."""
    tokens = torch.zeros(64, 2, time, dtype=torch.long)
    tokens[:, 0, 1:200] = 5
    tokens[:, 0, 200:] = 12
    tokens[:, 1, 200:] = 20
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    mask[:, :, 100:] = True
    return tokens, mask, torch.zeros(64, time, dtype=torch.long)


def test_shares_and_places() -> None:
    torch.manual_seed(0)
    hidden = masked_columns(*batch(), IDS, MaskConfig(speech=0.2, text=0.3))
    assert hidden is not None
    assert not hidden[:, :100].any()  # given, or special
    assert 0.28 < float(hidden[:, 100:200].float().mean()) < 0.32
    assert 0.15 < float(hidden[:, 200:].float().mean()) < 0.2  # spans overlap
    runs = "".join(str(int(value)) for value in hidden[0, 200:])
    assert "1" * SPAN in runs


def test_nothing_is_masked_unless_asked_for() -> None:
    assert masked_columns(*batch(), IDS, MaskConfig()) is None


def test_speech_whose_text_is_given_is_masked_on_its_own() -> None:
    torch.manual_seed(0)
    tokens, mask, segments = batch()
    segments[:, 300:] = 1  # where there is speech alone
    hidden = masked_columns(
        tokens, mask, segments, IDS, MaskConfig(speech=0.1, speech_given_text=0.6)
    )
    assert hidden is not None
    assert not hidden[:, :200].any()
    told, alone = hidden[:, 200:300].float().mean(), hidden[:, 310:].float().mean()
    assert 0.4 < float(told) < 0.5  # spans overlap
    assert 0.07 < float(alone) < 0.12


def test_all_text_that_is_given_or_none() -> None:
    """Of some examples; two in a row, with columns of none after them."""
    torch.manual_seed(0)
    tokens, mask, segments = (torch.cat([part, part], dim=-1) for part in batch())
    segments[:, 400:] = 1
    segments[:, 750:] = -1
    mask[:, :, 750:] = False
    hidden = masked_columns(tokens, mask, segments, IDS, MaskConfig(cfg_text_dropout=0.4))
    assert hidden is not None
    given = torch.stack([hidden[:, 1:100], hidden[:, 401:500]])
    assert torch.equal(given.any(2), given.all(2))
    assert not torch.equal(given[0].any(1), given[1].any(1))
    assert 0.25 < float(given.float().mean()) < 0.55
    hidden[:, 1:100] = hidden[:, 401:500] = False
    assert not hidden[:, :750].any()
