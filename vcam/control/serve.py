"""The control server of a run: a Unix socket for the command line, and HTTP for pages
on demand.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vcam.control.actions import Actions
from vcam.control.lines import MOST_BYTES, socket_path
from vcam.errors import UsageError, VcamError
from vcam.files import write_whole

_START_S = 20.0
_TICKET_S = 60.0
_CREDENTIALS = struct.Struct("3i")
"""struct ucred of unix(7): process, user, group."""


class Server:
    """Answers requests about a run until it ends; the context manager starts and stops its thread.

    Args:
        actions: the operations on the run.
        folder: for the socket, the token and notes of this user's runs, readable by the user
            alone.
        port: for pages; 0: the last run's if it is free, else any.
        metrics: whether Prometheus may scrape.
    """

    def __init__(
        self, actions: Actions, folder: Path, port: int = 0, *, metrics: bool = False
    ) -> None:
        self._actions, self._folder, self._port, self._metrics = actions, folder, port, metrics
        self._socket = socket_path(folder, os.getpid())
        self._notes = folder / "page.json"
        self._token_file = folder / f"{os.getpid()}.token"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready: Future[None] = Future()
        self._stop: asyncio.Event | None = None
        self._web: _Listening | None = None
        self._tickets: dict[str, float] = {}
        self._opening: asyncio.Lock | None = None
        self._thread = threading.Thread(target=self._run, name="vcam-control", daemon=True)

    def __enter__(self) -> Self:
        """Start.

        Raises:
            UsageError: the folder is accessible to other users, or the socket cannot be created.
        """
        self._thread.start()
        self._ready.result(_START_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._actions.control.board.end()
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(2.0)
        for path in (self._socket, self._token_file):
            with suppress(OSError):
                path.unlink()

    def open_page(self) -> str:
        """Start listening for pages if necessary; return the address to open.

        The address contains a ticket that works once, within a minute. The token is not in it,
        because other users of this machine can see the command line of a browser.

        Raises:
            UsageError: the port is taken, or the libraries are missing.
        """
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(self._open_page(), self._loop).result(_START_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - passed to the waiting thread
            if not self._ready.done():
                self._ready.set_exception(error)

    async def _serve(self) -> None:
        self._loop, self._stop, self._opening = (
            asyncio.get_running_loop(),
            asyncio.Event(),
            asyncio.Lock(),
        )
        server = await self._listen()
        self._ready.set_result(None)
        await self._stop.wait()
        if server is not None:
            server.close()
        if self._web is not None:
            await self._web.close()

    async def _listen(self) -> asyncio.Server | None:
        if not hasattr(socket, "AF_UNIX"):
            return None
        try:
            own_folder(self._folder)
            for old in self._folder.glob("*.sock"):
                _forget_if_dead(old)
            with suppress(FileNotFoundError):
                self._socket.unlink()
            server = await asyncio.start_unix_server(self._answer, self._socket, limit=MOST_BYTES)
            self._socket.chmod(0o600)
        except OSError as error:
            raise UsageError(
                f"{self._socket}: {error.strerror or error}; set XDG_RUNTIME_DIR to a folder of"
                " yours with a short path"
            ) from error
        return server

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if _is_same_user(writer.get_extra_info("socket")):
                while line := await reader.readline():
                    answer = await self._answered(line)
                    writer.write(json.dumps(answer).encode() + b"\n")
                    await writer.drain()
        except (OSError, ValueError):  # gone, or a line longer than allowed
            pass
        finally:
            writer.close()

    async def _answered(self, line: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(line)
            do = self._deeds()[asked.pop("do")]
        except (ValueError, KeyError, TypeError, AttributeError):
            return {"error": "not understood; are both vcams of the same version?"}
        try:
            if asked.get("page"):
                return {"result": await self._open_page()}
            assert self._loop is not None
            return {"result": await self._loop.run_in_executor(None, lambda: do(**asked))}
        except VcamError as error:
            return {"error": str(error)}
        except TypeError as error:
            return {"error": f"not understood ({error})"}

    def _deeds(self) -> dict[str, Callable[..., Any]]:
        actions = self._actions
        return {
            "about": actions.about,
            "set": lambda changes: actions.set(changes, trusted=True),
            "toggle": actions.toggle,
            "snapshot": lambda: base64.b64encode(actions.snapshot()).decode(),
            "stop": actions.control.stop,
            "schema": actions.schema,
            "profiles": actions.profiles,
            "use_profile": actions.use_profile,
            "save_profile": actions.save_profile,
            "ui": lambda page: None,
        }

    async def _open_page(self) -> str:
        assert self._opening is not None
        async with self._opening:
            if self._web is None:
                self._web = await self._start_web()
        ticket = secrets.token_urlsafe(24)
        self._tickets = {t: s for t, s in self._tickets.items() if s > time.monotonic()}
        self._tickets[ticket] = time.monotonic() + _TICKET_S
        return f"{self._web.address}#ticket={ticket}"

    async def _start_web(self) -> _Listening:
        try:
            from vcam.control.web import Web
        except ImportError as error:
            raise UsageError(
                f"the page needs {error.name}; install it: pip install {error.name}"
            ) from error
        own_folder(self._folder)
        before = self._noted()
        token = secrets.token_urlsafe(32)

        def exchange(given: str) -> str | None:
            if self._tickets.pop(given, 0.0) > time.monotonic():
                return token
            same = hmac.compare_digest(_hash(given), str(before.get("token_sha256", "")))
            return token if same else None

        listener = _bind(self._port, int(before.get("port") or 0))
        port = listener.getsockname()[1]
        web = Web(self._actions, exchange, metrics=self._metrics)
        write_whole(self._token_file, token + "\n", 0o600)
        write_whole(
            self._notes, json.dumps({"port": port, "token_sha256": _hash(token)}) + "\n", 0o600
        )
        return await _Listening.start(web.app(token, port), listener)

    def _noted(self) -> dict[str, Any]:
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return notes if isinstance(notes, dict) else {}


class _Listening:
    """uvicorn running in the current event loop."""

    def __init__(self, server: Any, task: asyncio.Task[None], address: str) -> None:
        self._server, self._task, self.address = server, task, address

    @classmethod
    async def start(cls, app: Any, listener: socket.socket) -> _Listening:
        import uvicorn

        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            date_header=False,
            ws="websockets-sansio",
            ws_max_size=64 * 1024,
            ws_ping_interval=10,
            ws_ping_timeout=20,
            limit_concurrency=64,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=16 * 1024,
            proxy_headers=False,
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve([listener]))
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        port = listener.getsockname()[1]
        return cls(server, task, f"http://127.0.0.1:{port}/")

    async def close(self) -> None:
        self._server.should_exit = True
        with suppress(Exception):
            await asyncio.wait_for(self._task, 1.5)


def own_folder(folder: Path) -> None:
    """Create the folder, for its user alone.

    Raises:
        UsageError: it exists, and is accessible to other users or belongs to one.
        OSError: it cannot be created.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if hasattr(os, "getuid") and found.st_uid != os.getuid():
        raise UsageError(
            f"{folder}: belongs to another user; set XDG_RUNTIME_DIR to a folder of yours"
        )
    if found.st_mode & 0o077:
        folder.chmod(0o700)


def _bind(port: int, before: int) -> socket.socket:
    """Open a listening socket on the loopback address."""
    for wanted in [port] if port else [before, 0] if before else [0]:
        listener = socket.socket(socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", wanted))
            listener.listen(64)
        except OSError as error:
            listener.close()
            if port:
                raise UsageError(
                    f"port {port}: {error.strerror}; leave out --ui-port to take a free one"
                ) from error
            continue
        return listener
    raise UsageError("no free port on 127.0.0.1; end another program")


def _is_same_user(line: Any) -> bool:
    """Whether the peer is a program of this user (SO_PEERCRED of unix(7)); root is accepted
    too.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the folder is private to this user
    data = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(data)[1] in (os.getuid(), 0)


def _forget_if_dead(path: Path) -> None:
    """Remove the socket and token of an ended process."""
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
        probe.settimeout(0.2)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            path.with_suffix(".token").unlink(missing_ok=True)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
