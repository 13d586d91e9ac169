"""WebSockets: live codec packets, and streamed speech.

``/v1/codec/live`` takes binary messages, pieces of a stream of any size, and sends its other form:
``direction=encode`` takes raw PCM (16-bit little-endian mono at the codec's rate) and sends packets
(docs/spec/bitstream.md), ``decode`` the reverse, ``loopback`` takes PCM and sends the decoding of
its packets. An empty message, or text, ends the stream.

``/v1/audio/speech/live`` takes messages of JSON, ``{"input": TEXT, "voice": NAME}``, and sends for
each binary PCM at 24 kHz and then ``{"type": "done", "samples": N}``.
"""

from __future__ import annotations

import asyncio
import io
import json
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, BinaryIO, Literal, cast

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from speechlm.compression.files import stream_decode, stream_encode
from speechlm.compression.rate_target import RateTarget
from speechlm.errors import SpeechLMError
from speechlm.serve import tasks
from speechlm.serve.openai_routes import SpeechRequest
from speechlm.serve.scheduler import Overloaded, TimedOut
from speechlm.serve.service import Service, service_of

router = APIRouter()
MOST_LIVE = 4
"""Live codec streams at a time; each has threads of its own."""
_HELD = 256  # messages that wait for a thread, before the client has to
_GOING_AWAY, _TRY_LATER, _BAD = 1001, 1013, 1003
_live = 0


class MessageReader(io.RawIOBase):
    """A file of the messages that a queue brings; None ends it."""

    def __init__(self) -> None:
        self._messages: queue.Queue[bytes | None] = queue.Queue(_HELD)
        self._rest: bytes | None = b""

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1) -> bytes:
        """What is there, up to ``size`` bytes, once there is something; nothing at the end."""
        while self._rest == b"":
            self._rest = self._messages.get()
        if self._rest is None:
            return b""
        size = len(self._rest) if size < 0 else size
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def readinto(self, buffer: Any) -> int:
        piece = self.read1(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def put(self, message: bytes | None) -> None:
        """Append a message; waits while too many wait."""
        self._messages.put(message)


class MessageWriter(io.RawIOBase):
    """A file whose writes are handed on."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send, self._held = send, bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        return len(data)

    def flush(self) -> None:
        if self._held and not self.closed:
            self._send(bytes(self._held))
            self._held.clear()


@router.websocket("/v1/codec/live")
async def codec_live(
    socket: WebSocket,
    direction: Literal["encode", "decode", "loopback"] = "loopback",
    kbps: Annotated[float | None, Query(gt=0)] = None,
    conceal: bool = True,
) -> None:
    """Encode or decode a live stream."""
    global _live
    await socket.accept()
    if _live >= MOST_LIVE:
        await socket.close(_TRY_LATER, f"{_live} live streams run already")
        return
    _live += 1
    source = MessageReader()
    try:
        service = service_of(socket)
        await _stream(socket, source, partial(_run, service, direction, kbps, conceal))
    except SpeechLMError as error:
        await socket.close(_BAD, str(error)[:120])
    finally:
        _live -= 1
        with suppress(queue.Full):
            source._messages.put_nowait(None)


def _run(
    service: Service,
    direction: str,
    kbps: float | None,
    conceal: bool,
    source: BinaryIO,
    target: BinaryIO,
) -> None:
    codec, rate = service.models.codec, RateTarget(kbps, "cbr")
    chunk = 1 / codec.frame_rate  # a packet a frame
    if direction == "encode":
        stream_encode(source, target, codec, rate, chunk, packets=True)
    elif direction == "decode":
        stream_decode(source, target, codec, conceal, packets=True)
    else:
        middle = MessageReader()

        def encode() -> None:
            try:
                writer = cast(BinaryIO, MessageWriter(middle.put))
                stream_encode(source, writer, codec, rate, chunk, packets=True)
                writer.flush()
            finally:
                middle.put(None)

        thread = threading.Thread(target=encode, daemon=True)
        thread.start()
        stream_decode(cast(BinaryIO, middle), target, codec, conceal, packets=True, jitter=0)
        thread.join()


async def _stream(
    socket: WebSocket, source: MessageReader, work: Callable[[BinaryIO, BinaryIO], None]
) -> None:
    """Feed ``work``, on a thread, with the messages of a socket, and send what it writes."""
    loop = asyncio.get_running_loop()
    outgoing: asyncio.Queue[bytes | None] = asyncio.Queue()

    def send(data: bytes | None) -> None:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(outgoing.put_nowait, data)

    def on_thread() -> None:
        target = cast(BinaryIO, MessageWriter(send))
        try:
            work(cast(BinaryIO, source), target)
            target.flush()
        finally:
            send(None)

    async def receive() -> None:
        try:
            while message := await _bytes(socket):
                await asyncio.to_thread(source.put, message)
        finally:
            await asyncio.to_thread(source.put, None)

    receiver = asyncio.create_task(receive())
    worker = asyncio.create_task(asyncio.to_thread(on_thread))
    try:
        while (data := await outgoing.get()) is not None:
            await socket.send_bytes(data)
        await worker
        await socket.close()
    except (WebSocketDisconnect, RuntimeError):
        pass
    finally:
        receiver.cancel()
        with suppress(asyncio.CancelledError):
            await receiver
        await asyncio.wait([worker])


async def _bytes(socket: WebSocket) -> bytes:
    """The next binary message; nothing at the end of the stream."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        return b""
    return message.get("bytes") or b""


@router.websocket("/v1/audio/speech/live")
async def speech_live(socket: WebSocket) -> None:
    """Synthesise texts as they come."""
    await socket.accept()
    service = service_of(socket)
    try:
        while True:
            try:
                body = SpeechRequest.model_validate_json(await socket.receive_text())
                await _speak(socket, service, body)
            except (SpeechLMError, ValidationError, Overloaded, TimedOut) as error:
                await socket.send_text(json.dumps({"type": "error", "message": str(error)}))
    except (WebSocketDisconnect, RuntimeError):
        pass


async def _speak(socket: WebSocket, service: Service, body: SpeechRequest) -> None:
    service.limits.check_text(body.input)
    voice = service.models.named_voice(body.voice)
    request = service.scheduler.submit(
        lambda: tasks.speech(service.models, body.input, voice, body.sampling(), "pcm")
    )
    size = 0
    try:
        async for chunk in request:
            size += len(chunk)
            await socket.send_bytes(chunk)
    finally:
        request.cancelled = True
    await socket.send_text(json.dumps({"type": "done", "samples": size // 2}))
