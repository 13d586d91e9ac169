"""Speech and transcriptions as in OpenAI's API, so that its clients work unchanged."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Response, UploadFile
from fastapi import Request as HttpRequest
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from speechlm.errors import SpeechLMError
from speechlm.lm.generate.sampling import TTS_SAMPLING, Sampling
from speechlm.serve import tasks
from speechlm.serve.responses import audio_response, only_result
from speechlm.serve.service import Service, service_of

router = APIRouter()
TheService = Annotated[Service, Depends(service_of)]
AudioFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]

SPEECH_MODEL, ASR_MODEL = "tts-1", "whisper-1"
"""Names that clients of OpenAI's API send; the model behind both is the server's."""


class SpeechRequest(BaseModel):
    """Body of ``/v1/audio/speech``; the last three fields are not OpenAI's."""

    model_config = ConfigDict(extra="forbid")

    model: str = SPEECH_MODEL
    input: str
    voice: str = "default"
    response_format: AudioFormat = "mp3"
    speed: float = 1.0
    instructions: str | None = None
    stream_format: Literal["audio"] = "audio"
    seed: int = Field(0, ge=0)
    temperature: float = Field(TTS_SAMPLING.temperature, ge=0, le=10)
    guidance: float | None = Field(None, ge=0, le=100)

    def sampling(self) -> Sampling:
        return Sampling(
            self.temperature, top_p=TTS_SAMPLING.top_p, guidance=self.guidance, seed=self.seed
        )


@router.post("/v1/audio/speech")
async def speech(body: SpeechRequest, service: TheService) -> Response:
    """Text to speech, sent while it is synthesised."""
    service.check_model(body.model, SPEECH_MODEL)
    service.limits.check_text(body.input)
    if body.speed != 1:
        raise SpeechLMError("speed: this model has one, 1.0")
    if body.instructions:
        raise SpeechLMError("instructions: this model takes none; the voice sets the style")
    voice = service.models.named_voice(body.voice)
    request = service.scheduler.submit(
        lambda: tasks.speech(
            service.models, body.input, voice, body.sampling(), body.response_format
        )
    )
    return await audio_response(request, body.response_format)


@router.post("/v1/audio/transcriptions")
async def transcriptions(
    http: HttpRequest,
    service: TheService,
    file: UploadFile,
    model: Annotated[str, Form()] = ASR_MODEL,
    language: Annotated[str | None, Form()] = None,
    prompt: Annotated[str | None, Form()] = None,
    response_format: Annotated[Literal["json", "text", "verbose_json"], Form()] = "json",
    temperature: Annotated[float, Form()] = 0.0,
) -> Any:
    """The text of a recording."""
    service.check_model(model, ASR_MODEL)
    if language not in (None, "en", "english"):
        raise SpeechLMError(f"language: this model transcribes English, not {language!r}")
    if prompt:
        raise SpeechLMError("prompt: this model takes none")
    if temperature:
        raise SpeechLMError("temperature: transcription is by beam search; leave it at 0")
    data = await file.read()
    request = service.scheduler.submit(
        lambda: tasks.transcribe(service.models, service.limits, data)
    )
    text, seconds = await only_result(http, request)
    if response_format == "text":
        return PlainTextResponse(f"{text}\n")
    if response_format == "verbose_json":
        return {"task": "transcribe", "language": "english", "duration": seconds, "text": text}
    return {"text": text}


@router.get("/v1/models")
async def models(service: TheService) -> dict[str, Any]:
    """The models that requests may name."""
    names = [service.language_model, SPEECH_MODEL, ASR_MODEL]
    started = int(time.time())
    return {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": started, "owned_by": "speechlm"}
            for name in names
        ],
    }
