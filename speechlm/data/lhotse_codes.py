"""Codes in cuts of Lhotse, and back: a field ``codes`` beside the recording.

It is stored as an array (frames, codebooks) with a frame shift, so that Lhotse truncates and
batches it with the cut; ``cut.load_codes()`` reads the frames that begin in the cut.
:func:`codes_of` reads the ``tail_frames`` after them too, which a decoder with a delay needs. A
field ``units`` says which units they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speechlm.errors import SpeechLMError
from speechlm.tokenizers.base import Units, UnitTokenizer
from speechlm.types import Codes

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut


def add_codes(cuts: Iterable[Cut], tokenizer: UnitTokenizer, folder: str | Path) -> CutSet:
    """The cuts with the codes of ``tokenizer``, which are stored in ``folder``.

    Write them with ``CutSet.to_file``, or to shards with ``to_shar(fields={"codes": "numpy"})``.

    Raises:
        SpeechLMError: when a recording cannot be read.
    """
    import torch
    from lhotse import CutSet
    from lhotse.features.io import NumpyFilesWriter

    from speechlm import audio
    from speechlm.data.speech import loaded

    units, found = tokenizer.units, []
    with NumpyFilesWriter(folder) as writer:
        for cut in cuts:
            wave = audio.resample(*loaded(cut), units.sample_rate)
            codes = tokenizer.encode(torch.from_numpy(wave)[None])[0].cpu().numpy().T
            # Frames of units that differ in length have no places in time.
            timed = {} if units.variable else {
                "temporal_dim": 0,
                "frame_shift": units.hop_length / units.sample_rate,
                "start": cut.start,
            }  # fmt: skip
            with_codes = cut.drop_features()
            with_codes.codes = writer.store_array(cut.id, codes.astype(np.int32), **timed)
            with_codes.units = str(units)
            with_codes.tail_frames = len(codes) - round(cut.duration * units.frame_rate)
            found.append(with_codes)
    return CutSet.from_cuts(found)


def codes_of(cut: Cut, units: Units) -> Codes:
    """The codes (codebooks, frames) of a cut, int64, for the decoder of their tokenizer.

    Raises:
        SpeechLMError: when it has none, or those of other units.
    """
    has = cut.custom or {}
    if "codes" not in has:
        raise SpeechLMError(f"{cut.id}: has no codes; add_codes of this module adds them")
    if has.get("units") != str(units):
        raise SpeechLMError(f"{cut.id}: has codes of {has.get('units')}, not of {units}")
    codes = cut.codes.load()
    if not units.variable:
        first = round((cut.start - cut.codes.start) * units.frame_rate)
        count = round(cut.duration * units.frame_rate) + has["tail_frames"]
        codes = codes[first : first + count]
    return np.ascontiguousarray(codes.T, np.int64)
