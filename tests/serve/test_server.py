"""The server as clients meet it: OpenAI's client, forms, WebSockets, a browser, signals."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import soundfile

import speechlm
from speechlm import audio
from speechlm.benchmarks.serve import post, running_server
from speechlm.lm.generate.sampling import TTS_SAMPLING
from tests.evaluation.browser import Browser, chromium
from tests.tools import require

openai = pytest.importorskip("openai", reason="needs the openai client")
pytest.importorskip("fastapi", reason="needs the extra serve")
websockets = pytest.importorskip("websockets.asyncio.client")

pytestmark = pytest.mark.xdist_group("server")


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def wave(recording):
    return soundfile.read(io.BytesIO(recording), dtype="float32")[0]


def status_and_message(call) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as raised:
        call()
    with raised.value as error:
        return error.code, json.loads(error.read())["error"]["message"]


def test_speech_through_the_openai_client(client, tmp_path):
    target = tmp_path / "speech.wav"
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input="Seventeen.", response_format="wav"
    ) as response:
        response.stream_to_file(target)
    sound, rate = audio.read(target)
    assert 0.2 < len(sound) / rate < 10
    assert np.abs(sound).max() > 0.01


def test_a_seed_gives_the_same_speech_as_the_library(client):
    answer = client.audio.speech.create(
        model="tts-1", voice="default", input="Seventeen.", response_format="wav",
        extra_body={"seed": 3},
    )  # fmt: skip
    sound = np.frombuffer(answer.content[44:], "<i2") / 32768
    sampling = replace(TTS_SAMPLING, seed=3)
    wave = speechlm.SpeechLM.from_pretrained().generate(text="Seventeen.", sampling=sampling).wave
    np.testing.assert_allclose(sound, wave[0].numpy(), atol=2e-3)


def test_transcription_through_the_openai_client(client, recording, wave):
    answer = client.audio.transcriptions.create(
        model="whisper-1", file=("speech.wav", recording), language="en"
    )
    import torch

    assert answer.text == speechlm.SpeechLM.from_pretrained().transcribe(torch.from_numpy(wave))
    assert answer.text


def test_errors_reach_the_openai_client(client, recording):
    with pytest.raises(openai.NotFoundError, match="no model 'tts-9'"):
        client.audio.speech.create(model="tts-9", voice="alloy", input="one")
    with pytest.raises(openai.BadRequestError, match="no voice 'nobody'"):
        client.audio.speech.create(model="tts-1", voice="nobody", input="one")
    with pytest.raises(openai.BadRequestError, match="the text is empty"):
        client.audio.speech.create(model="tts-1", voice="alloy", input=" ")
    with pytest.raises(openai.BadRequestError, match="not a sound file"):
        client.audio.transcriptions.create(model="whisper-1", file=("x.wav", b"no audio at all"))
    with pytest.raises(openai.BadRequestError, match="transcribes English"):
        client.audio.transcriptions.create(
            model="whisper-1", file=("x.wav", recording), language="fr"
        )
    assert "speechlm" in {model.owned_by for model in client.models.list()}


def test_continuations_do_not_depend_on_their_batch(server, recording):
    def ask(seed: int) -> bytes:
        form = {"file": recording, "seconds": "1", "min_seconds": "0.5", "seed": str(seed)}
        return post(f"{server}/v1/continue", form)

    alone = [ask(seed) for seed in range(3)]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(ask, range(3)))
    sounds = [[np.frombuffer(one[44:], "<i2") for one in group] for group in (alone, together)]
    for one, other in zip(*sounds, strict=True):
        assert 0.4 * 16000 <= len(one) <= 16000
        np.testing.assert_allclose(one, other, atol=64)
    assert len({one.tobytes() for one in sounds[0]}) == 3


def test_conversion_keeps_the_length(server, recording, wave):
    for form in ({"voice": "reader"}, {"voice_file": recording}):
        answer = post(f"{server}/v1/convert", {"file": recording, **form})
        assert abs(len(answer[44:]) // 2 - len(wave)) <= 1
    status, message = status_and_message(lambda: post(f"{server}/v1/convert", {"file": recording}))
    assert (status, message) == (400, "give one of voice and voice_file")


def test_the_codec_writes_what_the_library_writes(server, recording, tmp_path):
    coded = post(f"{server}/v1/codec/encode", {"file": recording, "kbps": "3"})
    (tmp_path / "in.wav").write_bytes(recording)
    speechlm.compress(tmp_path / "in.wav", tmp_path / "out.slm", kbps=3)
    assert coded == (tmp_path / "out.slm").read_bytes()
    answer = post(f"{server}/v1/codec/decode", {"file": coded})
    speechlm.decompress(tmp_path / "out.slm", tmp_path / "out.wav")
    expected, _ = audio.read(tmp_path / "out.wav")
    np.testing.assert_allclose(np.frombuffer(answer[44:], "<i2") / 32768, expected, atol=1e-4)


def test_limits(server, recording):
    long = io.BytesIO()
    soundfile.write(long, np.zeros(21 * 8000, np.float32), 8000, format="FLAC")
    status, message = status_and_message(
        lambda: post(f"{server}/v1/codec/encode", {"file": long.getvalue()})
    )
    assert (status, message) == (400, "the upload has more than 20 s of audio")
    headers = {"Content-Length": str(65 << 20)}
    large = urllib.request.Request(f"{server}/v1/codec/encode", b"", headers)
    assert status_and_message(lambda: urllib.request.urlopen(large))[0] == 413
    status, message = status_and_message(
        lambda: post(f"{server}/v1/codec/encode", {"file": recording, "kbps": "900"})
    )
    assert status == 400 and "kbps" in message


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://elsewhere.example"}, {"Host": "elsewhere.example"}]
)
def test_other_pages_and_hosts_are_refused(server, headers):
    request = urllib.request.Request(f"{server}/v1/voices", headers=headers)
    assert status_and_message(lambda: urllib.request.urlopen(request))[0] == 403


def test_live_codec_streams_equal_files(server, wave, tmp_path):
    codec = speechlm.Codec.from_pretrained()
    pcm = (wave * 32768).round().clip(-32768, 32767).astype("<i2").tobytes()
    address = server.replace("http", "ws") + "/v1/codec/live?kbps=3&direction="

    async def talk(direction: str, pieces: list[bytes]) -> bytes:
        received = b""
        async with websockets.connect(address + direction, max_size=None) as socket:
            for piece in pieces:
                await socket.send(piece)
            await socket.send(b"")
            async for message in socket:
                received += message
        return received

    pieces = [pcm[start : start + 1500] for start in range(0, len(pcm), 1500)]
    packets = asyncio.run(talk("encode", pieces))
    run = [sys.executable, "-m", "speechlm", "stream", "encode", "--kbps", "3", "--packets",
           "--chunk", str(1 / codec.frame_rate)]  # fmt: skip
    assert packets == subprocess.run(run, input=pcm, capture_output=True, check=True).stdout
    decoded = asyncio.run(talk("decode", [packets]))
    assert len(decoded) == len(pcm)
    assert asyncio.run(talk("loopback", pieces)) == decoded


def test_live_speech(server):
    async def main() -> list[bytes | str]:
        messages: list[bytes | str] = []
        address = server.replace("http", "ws") + "/v1/audio/speech/live"
        async with websockets.connect(address, max_size=None) as socket:
            for body in ({"input": "One."}, {"input": ""}, {"text": "no such field"}):
                await socket.send(json.dumps(body))
                while not isinstance(message := await socket.recv(), str):
                    messages.append(message)
                messages.append(message)
        return messages

    *sound, done, empty, unknown = asyncio.run(main())
    assert json.loads(done) == {"type": "done", "samples": sum(map(len, sound)) // 2}
    assert len(sound) > 1
    assert json.loads(empty)["message"] == "the text is empty"
    assert json.loads(unknown)["type"] == "error"


def test_figures_for_prometheus(server):
    with urllib.request.urlopen(f"{server}/health") as response:
        assert json.load(response) == {"status": "ok"}
    with urllib.request.urlopen(f"{server}/metrics") as response:
        text = response.read().decode()
    assert 'speechlm_requests_total{route="/health",status="200"}' in text
    assert "speechlm_waiting 0.0" in text


def test_the_page_works_in_a_browser(server, recording):
    require(chromium() is not None, "a Chromium (Debian: chromium)")
    with Browser() as browser:
        for width, dark in ((1280, False), (375, True)):
            browser.open(f"{server}/", width=width, dark=dark)
            assert browser.run("document.documentElement.scrollWidth") <= width
        browser.run("use(new Blob([new Uint8Array(" + str(list(recording)) + ")]))")
        browser.run("run('Transcribe', tasks.transcribe)")
        browser.run("run('Codec', tasks.codec)")
        shown = browser.run("document.getElementById('results').innerText")
        assert "Transcript: " in shown and "(no speech)" not in shown
        assert "kbps" in shown
        assert browser.run("document.getElementById('voice').innerText").split() == [
            "default", "alloy", "reader",
        ]  # fmt: skip
        assert not browser.errors
        assert all(url.startswith((server, "blob:", "data:")) for url in browser.requests)


def test_a_token_is_asked_for(recording):
    with running_server(["--token", "secret"]) as (address, process):
        refused = urllib.request.Request(f"{address}/v1/voices")
        assert status_and_message(lambda: urllib.request.urlopen(refused))[0] == 401
        allowed = urllib.request.Request(
            f"{address}/v1/voices", headers={"Authorization": "Bearer secret"}
        )
        with urllib.request.urlopen(allowed) as response:
            assert response.status == 200
        with urllib.request.urlopen(f"{address}/") as response:  # the page asks for it
            assert b"token" in response.read()
        with ThreadPoolExecutor(1) as pool:  # killed while it works, and started again
            pool.submit(
                urllib.request.urlopen,
                urllib.request.Request(
                    f"{address}/v1/audio/speech",
                    json.dumps({"input": "One two three four five."}).encode(),
                    {"Authorization": "Bearer secret", "Content-Type": "application/json"},
                ),
            )
            process.send_signal(signal.SIGKILL)
            process.wait(10)


def run_cli(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "speechlm", "serve", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_bad_options_are_one_line(tmp_path):
    for options, message in (
        (["--host", "0.0.0.0"], "--token"),
        (["--voices", str(tmp_path / "none")], "no such folder of voices"),
        (["--lm", str(tmp_path / "none")], "none"),
        (["--timeout", "0"], "timeout is above 0"),
    ):
        done = run_cli(*options)
        assert done.returncode == 2, options
        assert message in done.stderr and len(done.stderr.strip().splitlines()) == 1
