"""Refuse a request whose body is too large, also if it does not say so before."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass
class LimitedBody:
    """ASGI middleware: status 413 for bodies of more than `most` bytes."""

    app: ASGIApp
    most: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.most:
            await self._refuse(send)
            return
        received, too_large = 0, False

        async def counted() -> Message:
            nonlocal received, too_large
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.most:
                too_large = True
                return {"type": "http.disconnect"}  # whoever reads the body gives up
            return message

        async def watched(message: Message) -> None:
            if not too_large:
                await send(message)

        try:
            await self.app(scope, counted, watched)
        finally:
            if too_large:
                await self._refuse(send)

    async def _refuse(self, send: Send) -> None:
        error: dict[str, Any] = {
            "message": f"the request is larger than {self.most:,} bytes; scale the pictures down first",
            "type": "invalid_request_error",
            "param": None,
            "code": "too_large",
        }
        body = json.dumps({"error": error}).encode()
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})
