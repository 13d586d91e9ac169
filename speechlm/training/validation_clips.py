"""Decoded audio of the fixed validation clips in a run folder, over the steps."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import soundfile
from torch import Tensor

from speechlm import audio
from speechlm.types import Wave
from speechlm.utils.files import atomic_path

FOLDER = "samples"
ORIGINAL = "original"
MAX_STEPS = 12
"""Validation steps whose audio stays."""
MAX_CLIPS = 4
MAX_SECONDS = 10.0
"""Of a clip; the rest is cut off."""


def numbered_clips(waves: Tensor, sample_rate: int) -> dict[str, tuple[Tensor, int]]:
    """The first :data:`MAX_CLIPS` rows of ``waves`` (batch, samples), as ``clip-1`` and so on."""
    rows = waves[:MAX_CLIPS].float().cpu()
    return {f"clip-{number}": (wave, sample_rate) for number, wave in enumerate(rows, start=1)}


class ValidationClips:
    """FLAC files (16 bits) ``samples/STEP/CLIP.flac``, and ``samples/original/CLIP.flac``.

    At most :data:`MAX_STEPS` steps stay, evenly spread, with the first and the last among them; so
    a run folder holds at most 52 clips of :data:`MAX_SECONDS` each, however long the run is.
    """

    def __init__(self, run: Path):
        self.folder = run / FOLDER

    def drop_after(self, step: int) -> None:
        """Remove what was decoded after ``step``, which a resumed run decodes again."""
        for later in [found for found in self.steps() if found > step]:
            shutil.rmtree(self._at(later))

    def drop_all(self) -> None:
        """Remove the clips of an earlier run."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def write_originals(self, clips: dict[str, tuple[Tensor, int]]) -> None:
        """Save the clips as recorded: waves (samples,) with their sample rates, by name."""
        self._write(self.folder / ORIGINAL, clips)

    def write(self, step: int, clips: dict[str, tuple[Tensor, int]]) -> None:
        """Save the clips as the model of ``step`` decodes them, and thin the steps out."""
        self._write(self._at(step), clips)
        steps = self.steps()
        while len(steps) > MAX_STEPS:
            gaps = [later - before for before, later in zip(steps, steps[2:], strict=False)]
            shutil.rmtree(self._at(steps.pop(1 + int(np.argmin(gaps)))))

    def steps(self) -> list[int]:
        """The steps that have clips, in order."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())

    def read(self, step: int | None) -> dict[str, tuple[Wave, int]]:
        """The clips of a step, or as recorded (None): waves (samples,) with sample rates, by name.

        Raises:
            SpeechLMError: for a file that is no audio.
        """
        folder = self.folder / ORIGINAL if step is None else self._at(step)
        return {path.stem: audio.read(path) for path in sorted(folder.glob("*.flac"))}

    def _at(self, step: int) -> Path:
        return self.folder / f"{step:08d}"

    def _write(self, folder: Path, clips: dict[str, tuple[Tensor, int]]) -> None:
        if not clips:
            return
        folder.mkdir(parents=True, exist_ok=True)
        for name, (wave, sample_rate) in list(clips.items())[:MAX_CLIPS]:
            samples = wave[: round(MAX_SECONDS * sample_rate)].clamp(-1, 1).numpy()
            with atomic_path(folder / f"{name}.flac") as path:
                soundfile.write(path, samples, sample_rate, format="FLAC", subtype="PCM_16")
