"""The server under load: clients that ask one thing after another, for minutes.

Each client repeats the same four requests: speech, a transcription, a continuation, and a recording
encoded and decoded by the codec. Refusals (status 503) are counted, waited out and tried again.
"""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile
from rich.table import Table

from speechlm import audio
from speechlm.errors import SpeechLMError
from speechlm.utils.processes import progress

ROUTES = "speech", "transcriptions", "continue", "codec"
TEXT = "Seventeen hundred and four."
PROMPT_SECONDS = 3.0


@dataclass(frozen=True)
class RouteTimes:
    """Latencies of a route, in seconds."""

    route: str
    requests: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class ServeReport:
    """What the server did under load.

    ``rss_mb`` is its resident memory after the first fifth of the time, and at the end.
    """

    clients: int
    seconds: float
    routes: list[RouteTimes]
    failed: dict[str, int]
    refused: int
    rss_mb: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def table(self) -> Table:
        title = (
            f"{self.clients} clients, {self.seconds:.0f} s; {self.refused} refused and repeated, "
            f"{sum(self.failed.values())} failed; memory {self.rss_mb[0]:.0f} to "
            f"{self.rss_mb[1]:.0f} MB"
        )
        table = Table("route", "requests", "p50, s", "p95, s", "p99, s", title=title)
        for row in self.routes:
            times = (f"{value:.2f}" for value in (row.p50, row.p95, row.p99))
            table.add_row(row.route, f"{row.requests}", *times)
        return table


@dataclass
class _Log:
    times: dict[str, list[float]] = field(default_factory=lambda: {route: [] for route in ROUTES})
    failed: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def run(clients: int, seconds: float, source: Path, options: list[str]) -> ServeReport:
    """Start a server with further command-line ``options`` and ask it for ``seconds``.

    Raises:
        SpeechLMError: when the recording cannot be read, or the server does not start.
    """
    if not seconds > 0:
        raise SpeechLMError(f"seconds is above 0, not {seconds:g}")
    wave, rate = audio.read(source)
    prompt = _wav(wave[: round(PROMPT_SECONDS * rate)], rate)
    log = _Log()
    memory: list[float] = []
    with running_server(options) as (address, process):
        end = time.monotonic() + seconds
        threads = [
            threading.Thread(target=_client, args=(address, prompt, end, number, log))
            for number in range(clients)
        ]
        for thread in threads:
            thread.start()
        with progress("", max(1, round(seconds))) as advance:
            while any(thread.is_alive() for thread in threads):
                memory.append(process.memory_info().rss / 1e6)
                advance(f"{sum(map(len, log.times.values()))} answers")
                time.sleep(1)
    routes = [
        RouteTimes(route, len(times), *_percentiles(times)) for route, times in log.times.items()
    ]
    early = memory[len(memory) // 5] if memory else math.nan
    late = memory[-1] if memory else math.nan
    return ServeReport(clients, seconds, routes, log.failed, log.refused, (early, late))


@contextmanager
def running_server(options: list[str]) -> Iterator[tuple[str, psutil.Process]]:
    """A server in a process of its own: its address, and the process. SIGTERM ends it.

    Raises:
        SpeechLMError: when it does not start.
    """
    command = [sys.executable, "-m", "speechlm", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        if "http://" not in line:
            child.wait()
            raise SpeechLMError("the server did not start: see above")
        try:
            yield line.split()[-1], psutil.Process(child.pid)
        finally:
            child.terminate()
            child.wait(30)


def post(url: str, fields: dict[str, str | bytes]) -> bytes:
    """Send a form; ``bytes`` are a file. Its answer.

    Raises:
        urllib.error.URLError: when there is none.
    """
    boundary = uuid.uuid4().hex
    body = bytearray()
    for name, value in fields.items():
        extra = '; filename="file"' if isinstance(value, bytes) else ""
        body += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode()
        )
        body += (value if isinstance(value, bytes) else value.encode()) + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    request = urllib.request.Request(url, bytes(body), headers)
    with urllib.request.urlopen(request, timeout=300) as response:
        return bytes(response.read())


def _client(address: str, prompt: bytes, end: float, number: int, log: _Log) -> None:
    turn = number  # clients begin at different routes
    while time.monotonic() < end:
        route = ROUTES[turn % len(ROUTES)]
        start = time.monotonic()
        try:
            _ask(address, route, prompt, turn)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 503:
                with log.lock:
                    log.refused += 1
                time.sleep(1)
                continue
            _fail(log, f"{route}: status {error.code}")
        except (OSError, AssertionError) as error:
            _fail(log, f"{route}: {error}")
        else:
            with log.lock:
                log.times[route].append(time.monotonic() - start)
        turn += 1


def _fail(log: _Log, what: str) -> None:
    with log.lock:
        log.failed[what] = log.failed.get(what, 0) + 1


def _ask(address: str, route: str, prompt: bytes, turn: int) -> None:
    if route == "speech":
        body = json.dumps({"input": TEXT, "response_format": "wav", "seed": turn}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{address}/v1/audio/speech", body, headers)
        with urllib.request.urlopen(request, timeout=300) as response:
            assert response.read(4) == b"RIFF" and len(response.read()) > 44, "no speech"
    elif route == "transcriptions":
        answer = json.loads(post(f"{address}/v1/audio/transcriptions", {"file": prompt}))
        assert answer["text"], "no text"
    elif route == "continue":
        form: dict[str, str | bytes] = {"file": prompt, "seconds": "2", "min_seconds": "1"}
        assert len(post(f"{address}/v1/continue", {**form, "seed": str(turn)})) > 44, "no speech"
    else:
        coded = post(f"{address}/v1/codec/encode", {"file": prompt, "kbps": "3"})
        assert len(post(f"{address}/v1/codec/decode", {"file": coded})) > 44, "no audio"


def _percentiles(times: list[float]) -> tuple[float, float, float]:
    if not times:
        return math.nan, math.nan, math.nan
    p50, p95, p99 = np.percentile(times, [50, 95, 99])
    return float(p50), float(p95), float(p99)


def _wav(wave: np.ndarray, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
