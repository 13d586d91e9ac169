"""Continuation, voice conversion and the codec."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Response, UploadFile
from fastapi import Request as HttpRequest

from speechlm.compression.rate_target import RateTarget
from speechlm.errors import SpeechLMError
from speechlm.lm.generate.sampling import Sampling
from speechlm.serve import tasks
from speechlm.serve.responses import audio_response, only_result
from speechlm.serve.service import Service, service_of

router = APIRouter()
TheService = Annotated[Service, Depends(service_of)]
AudioFormat = Annotated[Literal["wav", "flac", "opus", "mp3", "aac", "pcm"], Form()]


@router.post("/v1/continue")
async def continue_(
    http: HttpRequest,
    service: TheService,
    file: UploadFile,
    seconds: Annotated[float, Form(gt=0, le=60)] = 8.0,
    min_seconds: Annotated[float, Form(ge=0, le=60)] = 0.0,
    temperature: Annotated[float, Form(ge=0, le=10)] = 0.9,
    top_p: Annotated[float, Form(gt=0, le=1)] = 0.95,
    seed: Annotated[int, Form(ge=0)] = 0,
    response_format: AudioFormat = "wav",
) -> Response:
    """Speech that continues a recording, without the recording. Requests that differ in recording,
    seed and format alone are generated in one batch."""
    data = await file.read()
    sampling = Sampling(temperature, top_p=top_p, min_seconds=min_seconds)
    prompt = await only_result(
        http,
        service.scheduler.submit(
            lambda: tasks.encode_prompt(service.models, service.limits, data, seed, response_format)
        ),
    )
    request = service.scheduler.submit_batched(
        ("continue", seconds, sampling),
        prompt,
        lambda prompts: tasks.continue_prompts(service.models, prompts, seconds, sampling),
    )
    return await audio_response(request, response_format)


@router.post("/v1/convert")
async def convert(
    service: TheService,
    file: UploadFile,
    voice: Annotated[str | None, Form()] = None,
    voice_file: UploadFile | None = None,
    response_format: AudioFormat = "wav",
) -> Response:
    """A recording in another voice: one of the server's, or that of ``voice_file``."""
    if (voice is None) == (voice_file is None):
        raise SpeechLMError("give one of voice and voice_file")
    data = await file.read()
    if voice_file is not None:
        reader = tasks.uploaded_voice(service.models, service.limits, await voice_file.read())
    else:
        assert voice is not None
        reader = service.models.named_voice(voice)
    request = service.scheduler.submit(
        lambda: tasks.convert(service.models, service.limits, data, reader, response_format)
    )
    return await audio_response(request, response_format)


@router.post("/v1/codec/encode")
async def encode(
    http: HttpRequest,
    service: TheService,
    file: UploadFile,
    kbps: Annotated[float | None, Form()] = None,
    mode: Annotated[Literal["vbr", "cbr"], Form()] = "vbr",
    max_bytes: Annotated[int | None, Form()] = None,
    quality: Annotated[float | None, Form()] = None,
) -> Response:
    """A recording as a compressed file (.slm)."""
    rate = RateTarget(kbps, mode, max_bytes, quality)
    data = await file.read()
    request = service.scheduler.submit(
        lambda: tasks.compress(service.models, service.limits, data, rate)
    )
    compressed, seconds = await only_result(http, request)
    headers = {
        "X-Audio-Seconds": f"{seconds:.3f}",
        "X-Kbps": f"{tasks.kbps(compressed, seconds):.3f}",
    }
    return Response(compressed, media_type="application/octet-stream", headers=headers)


@router.post("/v1/codec/decode")
async def decode(
    service: TheService, file: UploadFile, response_format: AudioFormat = "wav"
) -> Response:
    """A compressed file (.slm) as audio."""
    data = await file.read()
    request = service.scheduler.submit(
        lambda: tasks.decompress(service.models, service.limits, data, response_format)
    )
    return await audio_response(request, response_format)


@router.get("/v1/voices")
async def voices(service: TheService) -> dict[str, Any]:
    """The voices that requests may name."""
    return {"voices": service.models.voice_names}
