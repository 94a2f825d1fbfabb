"""The page, the HTTP interface and the WebSocket, on the loopback address."""

from __future__ import annotations

import asyncio
import importlib.resources
import json
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from vcam.control.actions import Actions
from vcam.control.events import Events
from vcam.control.gallery import MOST_BYTES
from vcam.control.guard import Guard, GuardedApp, Rate
from vcam.control.preview import VIEWS, Preview
from vcam.errors import UsageError, VcamError

USUAL_BYTES = 64 * 1024
MOST_PAGES = 8
_SEND_S = 5.0
"""A page that does not read for this long is disconnected."""
_FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_UPLOADS = "/api/backgrounds"
_HEAD = struct.Struct("<II")


def most_bytes(path: str) -> int:
    """Maximum size of a request body for that path."""
    return MOST_BYTES + 1024 if path == _UPLOADS else USUAL_BYTES


class Web:
    """Serves requests about one run.

    Args:
        actions: the operations on the run.
        exchange: returns the token for a ticket, or for the token of the previous run; None for any
            other text.
        metrics: whether /metrics exists.
    """

    def __init__(
        self, actions: Actions, exchange: Callable[[str], str | None], *, metrics: bool = False
    ) -> None:
        self._actions, self._exchange = actions, exchange
        self._preview = Preview(actions.control.tap)
        self._pages = 0
        self._exchanges = Rate(1, 10)
        self._routes: list[tuple[str, str, str, Any]] = [
            ("GET", "/api/run", "the current state of the run", self._of(actions.about)),
            ("PATCH", "/api/run", "change the run: an object of keys and values", self._set),
            ("GET", "/api/schema", "the schema of all settings", self._of(actions.schema)),
            ("POST", "/api/toggle/{key}", "toggle a setting", self._toggle),
            ("POST", "/api/stop", "end the run", self._stop),
            ("GET", "/api/snapshot.png", "the next sent picture", self._snapshot),
            ("GET", "/api/devices", "cameras", self._of(actions.devices)),
            ("GET", "/api/engines", "engines with their cost", self._of(actions.engines)),
            (
                "POST",
                "/api/engines/{name}/measure",
                "measure an engine",
                self._named(actions.measure),
            ),
            ("GET", "/api/doctor", "the findings of vcam doctor", self._of(actions.doctor)),
            (
                "GET",
                _UPLOADS,
                "backgrounds",
                self._of(lambda: [b.to_dict() for b in actions.gallery.list()]),
            ),
            ("PUT", _UPLOADS, "upload a picture; ?name= is its label", self._upload),
            ("DELETE", _UPLOADS + "/{name}", "remove an upload", self._named(self._remove)),
            ("GET", _UPLOADS + "/{name}/thumbnail.jpg", "a small picture", self._thumbnail),
            ("GET", "/api/profiles", "profiles of the settings file", self._of(actions.profiles)),
            (
                "PUT",
                "/api/profiles/{name}",
                "save the state of the run",
                self._named(actions.save_profile),
            ),
            (
                "POST",
                "/api/profiles/{name}/use",
                "apply a profile",
                self._named(actions.use_profile),
            ),
            (
                "POST",
                "/api/settings",
                "save the state of the run as the default settings",
                self._of(partial(actions.save_profile, None)),
            ),
        ]
        self._metrics = metrics

    def app(self, token: str, port: int) -> GuardedApp:
        """The ASGI application for that token and port."""
        routes: list[Any] = [Route(path, self._file, methods=["GET"]) for path in _FILES]
        routes += [
            Route(path, answer, methods=[method]) for method, path, _, answer in self._routes
        ]
        routes += [
            Route("/openapi.json", self._openapi, methods=["GET"]),
            Route("/api/token", self._token, methods=["POST"]),
            WebSocketRoute("/api/live", self._live),
        ]
        open_paths = {*_FILES, "/openapi.json", "/api/token"}
        if self._metrics:
            routes.append(Route("/metrics", self._scrape, methods=["GET"]))
            open_paths.add("/metrics")
        app = Starlette(routes=routes, exception_handlers={VcamError: _refused})
        return GuardedApp(app, Guard(token, port, frozenset(open_paths)), most_bytes)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI 3.1 document."""
        schema = self._actions.schema()
        keys = {
            f"{name}.{key}": {**value, "description": f"{effect['title']}: {value['description']}"}
            for name, effect in schema["effects"].items()
            for key, value in effect["properties"].items()
        }
        keys |= {
            name: {"type": "boolean", "description": effect["description"]}
            for name, effect in schema["effects"].items()
        }
        paths: dict[str, Any] = {}
        for method, path, text, _ in self._routes:
            words = [part[1:-1] for part in path.split("/") if part.startswith("{")]
            entry: dict[str, Any] = {"summary": text, "responses": _RESPONSES}
            if words:
                entry["parameters"] = [
                    {"name": word, "in": "path", "required": True, "schema": {"type": "string"}}
                    for word in words
                ]
            if method == "PATCH":
                entry["requestBody"] = {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Changes"}}
                    }
                }
            paths.setdefault(path, {})[method.lower()] = entry
        changes = {"type": "object", "properties": keys | schema["settings"], "minProperties": 1}
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "vcam",
                "version": self._actions.house.version,
                "description": "Control of one running vcam.",
            },
            "paths": paths,
            "components": {
                "schemas": {"Changes": changes},
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
            "security": [{"token": []}],
        }

    async def _file(self, request: Request) -> Response:
        name, kind = _FILES[request.url.path]
        data = importlib.resources.files("vcam.control.page").joinpath(name).read_bytes()
        return Response(data, media_type=kind)

    async def _openapi(self, _: Request) -> Response:
        return JSONResponse(self.openapi())

    async def _scrape(self, _: Request) -> Response:
        return PlainTextResponse(self._actions.metrics(), media_type="text/plain; version=0.0.4")

    async def _token(self, request: Request) -> Response:
        asked = await _json(request)
        given = asked.get("given") if isinstance(asked, dict) else None
        new = self._exchange(given) if isinstance(given, str) and self._exchanges.take() else None
        return JSONResponse(
            {"token": new} if new else {"error": "type `vcam ui`"}, 200 if new else 401
        )

    def _of(self, action: Callable[[], Any]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(_: Request) -> Response:
            return JSONResponse(await run_sync(action))

        return answer

    def _named(self, action: Callable[[str], Any]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return JSONResponse(await run_sync(action, request.path_params["name"]))

        return answer

    async def _set(self, request: Request) -> Response:
        changes = await _json(request)
        return JSONResponse(await run_sync(partial(self._actions.set, changes, trusted=False)))

    async def _toggle(self, request: Request) -> Response:
        return JSONResponse(await run_sync(self._actions.toggle, request.path_params["key"]))

    async def _stop(self, _: Request) -> Response:
        self._actions.control.stop()
        return JSONResponse({})

    async def _snapshot(self, _: Request) -> Response:
        return Response(await run_sync(self._actions.snapshot), media_type="image/png")

    async def _upload(self, request: Request) -> Response:
        name = request.query_params.get("name", "")
        data = await request.body()
        return JSONResponse((await run_sync(self._actions.gallery.add, name, data)).to_dict(), 201)

    def _remove(self, name: str) -> dict[str, Any]:
        path = str(self._actions.gallery.find(name).path)
        worn = next(
            (w for w in self._actions.control.wanted.effects if w.values.get("path") == path), None
        )
        if worn is not None:
            raise UsageError("this background is in use; choose another one first")
        self._actions.gallery.remove(name)
        return {}

    async def _thumbnail(self, request: Request) -> Response:
        data = await run_sync(self._actions.gallery.thumbnail, request.path_params["name"])
        return Response(data, media_type="image/jpeg")

    async def _live(self, socket: WebSocket) -> None:
        """Serve one page: events and responses as JSON, pictures as bytes; each picture only after
        the page confirmed the last one.
        """
        if self._pages >= MOST_PAGES:
            return await socket.close(1013, f"{MOST_PAGES} pages are open; close one")
        protocols = [w.strip() for w in socket.headers.get("sec-websocket-protocol", "").split(",")]
        await socket.accept("vcam" if "vcam" in protocols else None)
        self._pages += 1
        page = _Page(socket, self._actions, self._preview)
        try:
            await page.serve()
        finally:
            self._pages -= 1


class _Page:
    """One page's WebSocket."""

    def __init__(self, socket: WebSocket, actions: Actions, preview: Preview) -> None:
        self._socket, self._actions, self._preview = socket, actions, preview
        self._views: tuple[str, ...] = ()
        self._looks = asyncio.Event()
        self._taken = asyncio.Event()
        self._rate = Rate(60, 240)
        self._asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue(32)
        self._sending = asyncio.Lock()

    async def serve(self) -> None:
        with self._actions.control.events() as events:
            await self._send({"kind": "run", "data": await run_sync(self._actions.about)})
            works = [self._hear(), self._change(), self._say(events), self._show()]
            tasks = [asyncio.ensure_future(work) for work in works]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                events.close()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            with suppress(WebSocketDisconnect, TimeoutError, RuntimeError, asyncio.CancelledError):
                task.result()
        with suppress(Exception):
            await self._socket.close()

    async def _hear(self) -> None:
        while True:
            message = await self._socket.receive_text()
            if not self._rate.take():
                return await self._socket.close(1008, "too many messages")
            try:
                asked = json.loads(message)
            except ValueError:
                asked = None
            if not isinstance(asked, dict):
                return await self._socket.close(1003, "a message is a JSON object")
            await self._do(asked)

    async def _do(self, asked: dict[str, Any]) -> None:
        if "taken" in asked:
            self._taken.set()
        if "views" in asked:
            wanted = asked["views"] if isinstance(asked["views"], list) else []
            self._views = tuple(view for view in VIEWS if view in wanted)
            self._taken.set()
            self._looks.set() if self._views else self._looks.clear()
        if "set" in asked:
            try:
                self._asked.put_nowait(asked)
            except asyncio.QueueFull:
                await self._send(
                    {"kind": "answer", "id": asked.get("id"), "error": "busy; try again"}
                )

    async def _change(self) -> None:
        while True:
            asked = await self._asked.get()
            answer: dict[str, Any] = {"kind": "answer", "id": asked.get("id")}
            try:
                await run_sync(partial(self._actions.set, asked["set"], trusted=False))
            except VcamError as error:
                answer["error"] = str(error)
            await self._send(answer)

    async def _say(self, events: Events) -> None:
        while True:
            event = await run_sync(events.take, 0.5)
            if event is not None:
                await self._send({"kind": event.kind, "data": event.data, "at": event.at})
                if event.kind == "end":
                    return

    async def _show(self) -> None:
        number = 0
        while True:
            await self._looks.wait()
            with self._actions.control.tap.looking():
                while self._views:
                    self._taken.clear()
                    made = await run_sync(self._preview.after, number, self._views)
                    if made is None:
                        continue
                    number = made[0].number
                    pictures = dict(zip(self._views, made[1], strict=False))
                    await self._bytes(_packed(number, pictures))
                    async with asyncio.timeout(_SEND_S):
                        await self._taken.wait()
                    await asyncio.sleep(self._preview.pause_s())

    async def _send(self, message: dict[str, Any]) -> None:
        async with asyncio.timeout(_SEND_S), self._sending:
            await self._socket.send_json(message)

    async def _bytes(self, data: bytes) -> None:
        async with asyncio.timeout(_SEND_S), self._sending:
            await self._socket.send_bytes(data)


def _packed(number: int, pictures: dict[str, bytes]) -> bytes:
    """Pack the number, the count of pictures, and for each its index in VIEWS, its length and its
    JPEG.
    """
    parts = [_HEAD.pack(number, len(pictures))]
    parts += [_HEAD.pack(VIEWS.index(view), len(data)) + data for view, data in pictures.items()]
    return b"".join(parts)


_RESPONSES = {
    "200": {"description": "done"},
    "400": {"description": "the request is invalid, or a part does not open; nothing has changed"},
    "401": {"description": "the token is missing or wrong"},
    "403": {"description": "the request comes from another page"},
    "413": {"description": "the body is too large"},
    "429": {"description": "too many requests"},
}


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except ValueError as error:
        raise UsageError("the body is not valid JSON") from error


async def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)
