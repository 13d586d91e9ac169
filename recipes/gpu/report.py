"""The results of recipes/gpu/run.sh in the folder that is the argument, as Markdown."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def lines(folder: Path) -> Iterator[str]:
    yield "# Training on this device\n"
    tests = folder / "tests.txt"
    if tests.exists():
        yield f"Tests marked gpu: {tests.read_text().strip().splitlines()[-1].strip('= ')}\n"
    reports = [
        (path.stem.removeprefix("bench-"), report)
        for path in sorted(folder.glob("bench-*.json"))
        for report in read(path)
    ]
    if reports:
        yield f"Device: {reports[0][1]['device']}. MFU: of a large matrix product there.\n"
        yield "| what | data a step | steps | ms a step | a second | MFU | peak MiB | most time |"
        yield "|---|--:|--:|--:|--:|--:|--:|---|"
        yield from (row(name, report) for name, report in reports)
    log = folder / "train.jsonl"
    if log.exists():
        entries = [json.loads(line) for line in log.read_text().splitlines()]
        rates = sorted(e["audio_s_per_second"] for e in entries if e["kind"] == "train")
        median = f"{rates[len(rates) // 2]:.0f} audio s a second (median)"
        yield "\nA codec, trained with its corpus on the device: "
        yield f"{entries[-1]['step']} steps, {median}."
        yield "\n| step | validation loss |\n|--:|--:|"
        yield from (f"| {e['step']} | {e['loss']:.4f} |" for e in entries if e["kind"] == "valid")


def row(name: str, report: dict[str, Any]) -> str:
    parts = ", ".join(
        f"{part['name']} {100 * part['milliseconds'] / report['milliseconds']:.0f} %"
        for part in report["parts"][:4]
    )
    cells = [
        name,
        f"{report['amount']:.0f} {report['unit']}",
        report["steps"],
        f"{1000 * report['step_seconds']:.1f}",
        f"{report['per_second']:.0f} {report['unit']}",
        f"{100 * report['mfu']:.1f} %",
        f"{report['peak_mib']:.0f}",
        parts,
    ]
    return f"| {' | '.join(map(str, cells))} |"


def read(path: Path) -> list[dict[str, Any]]:
    found = json.loads(path.read_text())
    return found if isinstance(found, list) else [found]


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines(Path(sys.argv[1]))) + "\n")
