"""The log of a run: one JSON object a line, and TensorBoard beside it."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from speechlm.audio.spectrogram import loudest, spectrogram
from speechlm.training.validation_clips import ValidationClips
from speechlm.utils.files import atomic_path

LOG = "log.jsonl"
SUPERSEDED = "log.superseded.jsonl"

Clips = dict[str, tuple[Tensor, int]]
"""Waveforms (samples,) with their sample rates, by name."""


class MetricsLogger:
    """Appends to ``log.jsonl``.

    Lines from after the step that a run resumes at, which it will write again, go to
    ``log.superseded.jsonl``: no line is lost. With ``anew`` the log of an earlier run goes to the
    first free one of ``log.1.jsonl``, ``log.2.jsonl`` and so on.
    """

    def __init__(self, folder: Path, step: int, anew: bool = False):
        self.path = folder / LOG
        if anew and self.path.exists():
            self.path.rename(_free_name(folder))
        if self.path.exists():
            self._supersede(folder / SUPERSEDED, step)
        self.clips = ValidationClips(folder)
        if anew:
            self.clips.drop_all()
        self.clips.drop_after(step)
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def __enter__(self) -> MetricsLogger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _supersede(self, superseded: Path, step: int) -> None:
        lines = self.path.read_text().splitlines()
        kept = [line for line in lines if _is_before(line, step)]
        if len(kept) == len(lines):
            return
        with superseded.open("a") as file:
            file.writelines(f"{line}\n" for line in lines if not _is_before(line, step))
        with atomic_path(self.path) as path:
            path.write_text("".join(f"{line}\n" for line in kept))

    def write(self, step: int, kind: str, values: dict[str, float]) -> None:
        """Log ``values`` of a ``kind``: ``train`` or ``valid``."""
        with self.path.open("a") as file:
            rounded = {name: float(f"{value:.6g}") for name, value in values.items()}
            file.write(json.dumps({"step": step, "kind": kind, **rounded}) + "\n")
        for name, value in values.items():
            self.board.add_scalar(f"{kind}/{name}", value, step)

    def write_clips(self, step: int, clips: Clips, originals: Clips) -> None:
        """Save waveforms (samples,) with their sample rates, by name, in the run folder.

        They and their spectrograms go to TensorBoard, too, and so do the ``originals`` at the
        first time.
        """
        if not self.clips.steps():
            self.clips.write_originals(originals)
            self._show_clips(step, "original/", originals, originals)
        self.clips.write(step, clips)
        self._show_clips(step, "", clips, originals)

    def _show_clips(self, step: int, prefix: str, clips: Clips, originals: Clips) -> None:
        for name, (wave, sample_rate) in clips.items():
            tag = f"valid/{prefix}{name}"
            self.board.add_audio(tag, wave, step, sample_rate)
            samples = wave.numpy()
            peak = loudest(originals.get(name, (wave, 0))[0].numpy(), sample_rate)
            picture = spectrogram(samples, sample_rate, peak)
            value = Summary.Value(tag=tag, image=Summary.Image(encoded_image_string=picture))
            self.board._get_file_writer().add_summary(Summary(value=[value]), step)

    def close(self) -> None:
        self.board.close()


def _free_name(folder: Path) -> Path:
    number = 1
    while (folder / f"log.{number}.jsonl").exists():
        number += 1
    return folder / f"log.{number}.jsonl"


def _is_before(line: str, step: int) -> bool:
    try:
        return bool(json.loads(line)["step"] <= step)
    except (ValueError, KeyError, TypeError):
        # A kill in the middle of a write leaves half a line.
        return False
