"""Speech of which all is known: words that are tones, by two speakers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from .voices import RATE

TONES = (250, 500, 1000, 2000)
FRAME = 320


def say_tones(folder: Path) -> None:
    """Write recordings ``said/SPEAKER/N.wav``, and ``labels/N.lab``.

    Phones are tones, 20 ms of silence after each; speakers differ in which they use.
    """
    random = np.random.default_rng(0)
    (folder / "labels").mkdir()
    for number in range(12):
        speaker = "ann" if number % 2 else "bob"
        wave, lines, end = [], ["#"], 0.0
        for _ in range(12):
            which = random.choice(4, p=[0.4, 0.4, 0.1, 0.1] if number % 2 else [0.1, 0.1, 0.4, 0.4])
            samples = int(random.integers(5, 12)) * FRAME
            wave.append(0.3 * np.sin(2 * np.pi * TONES[which] * np.arange(samples) / RATE))
            for name, length in ((f"tone{which}", samples), ("pau", FRAME)):
                end += length / RATE
                lines.append(f"{end} 125 {name}")
            wave.append(np.zeros(FRAME))
        sound = np.concatenate(wave) + 0.003 * random.standard_normal(len(np.concatenate(wave)))
        path = folder / "said" / speaker / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound, RATE)
        (folder / "labels" / f"{number}.lab").write_text("\n".join(lines))
