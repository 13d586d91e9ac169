"""Speed, measured alone: after the suite, one system at a time, in a process of its own."""

from __future__ import annotations

import statistics
import time
from typing import Any

from speechlm.evaluation import systems
from speechlm.evaluation.clips import Clip
from speechlm.evaluation.metrics.resample import resample
from speechlm.evaluation.setup import Plan
from speechlm.evaluation.systems import Spec
from speechlm.evaluation.systems.model import Model
from speechlm.utils.processes import processes, progress


def measure(plan: Plan) -> dict[Spec, dict[str, Any]]:
    """By system: real-time factors of encode and decode, and streamed against offline output.

    A factor is seconds of wall clock a second of audio, over the longest ``runtime.clips`` clips;
    programs include their start. The streamed difference is given for models.
    """
    config = plan.config.runtime
    clips = sorted(plan.clips, key=lambda clip: -clip.seconds)[: config.clips]
    specs = [spec for spec in plan.present if spec.kind != "original"]
    if not clips or not config.repeats or not specs:
        return {}
    rate = plan.config.sample_rate
    found = {}
    with (
        processes(1, config.threads) as alone,
        progress("speed  ", len(specs)) as advance,
    ):
        for spec in specs:
            work = alone.submit(_speed, spec, clips, rate, config.repeats, config.threads)
            found[spec] = work.result()
            advance(spec.name)
    return found


def _speed(spec: Spec, clips: list[Clip], rate: int, repeats: int, threads: int) -> dict[str, Any]:
    system = systems.build(spec)
    if isinstance(system, Model):
        import torch

        torch.set_num_threads(threads)
    encode: list[float] = []
    decode: list[float] = []
    try:
        for clip in clips:
            wave = resample(clip.read(rate), rate, system.sample_rate)
            seconds = len(wave) / system.sample_rate
            system.decode(system.encode(wave), len(wave))  # warm
            for _ in range(repeats):
                start = time.perf_counter()
                encoded = system.encode(wave)
                middle = time.perf_counter()
                system.decode(encoded, len(wave))
                encode.append((middle - start) / seconds)
                decode.append((time.perf_counter() - middle) / seconds)
    except Exception as error:  # shown instead of the figures
        return {"failed": f"{type(error).__name__}: {error}"}
    found: dict[str, Any] = {"threads": threads, "clips": len(clips), "repeats": repeats}
    for name, times in (("encode_rtf", encode), ("decode_rtf", decode)):
        low, high = min(times), max(times)
        middle = statistics.median(times)
        found[name] = {"median": middle, "low": low, "high": high, "n": len(times)}
    if isinstance(system, Model):
        wave = resample(clips[0].read(rate), rate, system.sample_rate)
        found["streaming"] = system.streamed_difference(wave)
    return found
