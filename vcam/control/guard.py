"""Checks before any request is processed: host, origin, token, size of the body,
rate.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Rate:
    """A token bucket: `burst` at once, then `per_s` per second. Used by one thread."""

    def __init__(
        self, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._left, self._at_s = burst, clock()

    def take(self) -> bool:
        """Whether one more request is allowed now."""
        now_s = self._clock()
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Refused(Exception):  # noqa: N818 - a response, not a failure
    """A request that is rejected."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Guard:
    """Checks requests by their headers.

    Args:
        token: required from the page and other programs.
        port: the server's port.
        open_paths: need no token, because they reveal nothing.
    """

    def __init__(self, token: str, port: int, open_paths: frozenset[str]) -> None:
        self._token, self._open = token.encode(), open_paths
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        self._requests = Rate(100, 300)
        self._wrong = Rate(2, 20)

    def check(self, scope: Scope) -> None:
        """Accept the request of an ASGI scope, or raise.

        Raises:
            Refused: with the HTTP status and a reason.
        """
        headers = {
            key.decode("latin-1").lower(): value.decode("latin-1")
            for key, value in scope["headers"]
        }
        if headers.get("host", "").lower() not in self._hosts:
            raise Refused(421, "this server answers to 127.0.0.1 only")
        origin = headers.get("origin")
        if origin is not None and origin.lower().removeprefix("http://") not in self._hosts:
            raise Refused(403, "another page may not ask this")
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise Refused(403, "another page may not ask this")
        if scope["type"] == "websocket" and origin is None and "sec-fetch-site" in headers:
            raise Refused(403, "a page must say where it is from")
        if not self._requests.take():
            raise Refused(429, "too many requests; wait a second")
        if scope["path"] in self._open:
            return
        if not hmac.compare_digest(self._given(scope, headers), self._token):
            raise Refused(
                401 if self._wrong.take() else 429, "the token is missing or wrong; type `vcam ui`"
            )

    @staticmethod
    def _given(scope: Scope, headers: dict[str, str]) -> bytes:
        """The token of a request: from a header, or for a page's WebSocket, which cannot set
        headers, from its protocols.
        """
        if scope["type"] == "websocket" and "authorization" not in headers:
            words = [word.strip() for word in headers.get("sec-websocket-protocol", "").split(",")]
            return next(
                (w.removeprefix("token.") for w in words if w.startswith("token.")), ""
            ).encode()
        kind, _, given = headers.get("authorization", "").partition(" ")
        return given.strip().encode() if kind.lower() == "bearer" else b""


class GuardedApp:
    """An ASGI application behind a guard; adds the security headers to every response and limits
    the size of every body.

    Args:
        app: the protected application.
        guard: checks requests.
        most_bytes: limit of a body, by path; others: `usual_bytes`.
    """

    def __init__(self, app: Any, guard: Guard, most_bytes: Callable[[str], int]) -> None:
        self._app, self._guard, self._most_bytes = app, guard, most_bytes

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Process the request, or reject it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            self._guard.check(scope)
            self._check_length(scope)
        except Refused as refused:
            await _refuse(scope, receive, send, refused)
            return
        try:
            await self._app(scope, self._bounded(scope, receive), _with_headers(send))
        except Refused as refused:
            await _refuse(scope, receive, send, refused)

    def _check_length(self, scope: Scope) -> None:
        length = next((v for k, v in scope["headers"] if k.lower() == b"content-length"), b"0")
        if not length.isdigit() or int(length) > self._most_bytes(scope["path"]):
            raise Refused(413, f"the body is larger than {self._most_bytes(scope['path'])} bytes")

    def _bounded(self, scope: Scope, receive: Any) -> Any:
        """Count the body's bytes as they arrive: the declared length may be missing or wrong."""
        if scope["type"] != "http":
            return receive
        most, got = self._most_bytes(scope["path"]), 0

        async def bounded() -> Message:
            nonlocal got
            message: Message = await receive()
            got += len(message.get("body", b""))
            if got > most:
                raise Refused(413, f"the body is larger than {most} bytes")
            return message

        return bounded


def _with_headers(send: Any) -> Any:
    extra = [(key.encode(), value.encode()) for key, value in HEADERS.items()]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            names = {key for key, _ in extra}
            message["headers"] = [
                (k, v) for k, v in message.get("headers", []) if k.lower() not in names
            ] + extra
        await send(message)

    return sending


async def _refuse(scope: Scope, receive: Any, send: Any, refused: Refused) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": refused.reason})
        return
    from starlette.responses import JSONResponse

    response = JSONResponse({"error": refused.reason}, refused.status)
    await response(scope, receive, _with_headers(send))
