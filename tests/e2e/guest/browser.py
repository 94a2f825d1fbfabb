"""Real browsers on a page that opens the camera and does what this program tells it.

The page asks its own server for the next job, so no WebDriver is needed, and Chromium and Firefox
are driven alike.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vcam.frame import Size

_PAGE = Path(__file__).with_name("page.html")
_POLL_S = 5.0
_START_S = 240.0
_JOB_S = 90.0

_CHROMIUM = (
    "chromium-headless-shell --no-sandbox --disable-gpu --no-first-run --disable-extensions"
    " --disable-sync --disable-background-networking --disable-component-update"
    " --use-fake-ui-for-media-stream --mute-audio --autoplay-policy=no-user-gesture-required"
    " --user-data-dir={profile} {url}"
)
"""The fake part of that flag is the question whether the page may have the camera; the camera is
real.
"""

_FIREFOX = "firefox-esr --headless --no-remote --profile {profile} {url}"
_FIREFOX_SETTINGS = {
    "media.navigator.permission.disabled": True,
    "media.webrtc.camera.allow-pipewire": False,
    "media.autoplay.default": 0,
    "browser.shell.checkDefaultBrowser": False,
    "browser.aboutwelcome.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "app.update.auto": False,
    "extensions.update.enabled": False,
}
COMMANDS = {"chromium": _CHROMIUM, "firefox": _FIREFOX}


class PageError(Exception):
    """A job threw an error in the page; the message is its name and text. Or the page did not
    answer.
    """


class Browser:
    """A browser with the page open.

    Args:
        name: a key of `COMMANDS`.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._mail = _Mail()
        handler = type("Handler", (_Handler,), {"mail": self._mail})
        self._server = ThreadingHTTPServer(("localhost", 0), handler, False)
        self._server.daemon_threads = True
        self._folder = tempfile.TemporaryDirectory(
            prefix="vcam-browser-", ignore_cleanup_errors=True
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._server.server_bind()
        self._server.server_activate()
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        profile = Path(self._folder.name, "profile")
        profile.mkdir()
        lines = [
            f"user_pref({json.dumps(key)}, {json.dumps(value)});\n"
            for key, value in _FIREFOX_SETTINGS.items()
        ]
        (profile / "user.js").write_text("".join(lines))
        url = f"http://localhost:{self._server.server_address[1]}/"
        log = Path(self._folder.name, "log").open("wb")
        command = COMMANDS[self._name].format(profile=profile, url=url).split()
        with log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # its helpers, too
            self._process.wait()
        self._server.shutdown()
        self._server.server_close()
        self._folder.cleanup()

    def run(self, body: str, timeout_s: float = _JOB_S) -> Any:
        """Run the body of an async function in the page and return its value.

        Raises:
            PageError: it threw, or did not end in time.
        """
        self._mail.jobs.put(body)
        try:
            answer = self._mail.answers.get(timeout=timeout_s)
        except queue.Empty:
            log = Path(self._folder.name, "log").read_text(errors="replace")[-2000:]
            raise PageError(
                f"{self._name}: no answer to {body!r} after {timeout_s:g} s\n{log}"
            ) from None
        if "error" in answer:
            raise PageError(answer["error"])
        return answer["value"]

    def wait_until_ready(self) -> str:
        """Wait until the page runs; returns what the browser calls itself."""
        return str(self.run("return navigator.userAgent", _START_S))

    def wait_for_camera(self, label: str) -> None:
        """Wait until the page may choose the camera of that label.

        Raises:
            PageError: it does not come.
        """
        deadline = time.monotonic() + _START_S
        while label not in (found := self.cameras()):
            if time.monotonic() > deadline:
                raise PageError(
                    f"{self._name}: no camera {label!r} after {_START_S:g} s, only {found}"
                )
            time.sleep(1.0)

    def cameras(self) -> list[str]:
        """The labels of the cameras that the page may choose from."""
        found: list[str] = self.run("return (await cameras()).map((camera) => camera.label)")
        return found

    def open(self, label: str, size: Size | None = None) -> dict[str, Any]:
        """Open the camera of that label, of a size where one is wanted; returns what the page calls
        its settings.
        """
        wanted = {"width": {"ideal": size[0]}, "height": {"ideal": size[1]}} if size else {}
        found: dict[str, Any] = self.run(
            f"return await openCamera({json.dumps(label)}, {json.dumps(wanted)})"
        )
        return found

    def close(self) -> None:
        """Close the camera."""
        self.run("closeCamera()")

    def resize(self, size: Size) -> None:
        """Let the page ask for another size while the camera is open."""
        self.run(f"await track().applyConstraints({{ width: {size[0]}, height: {size[1]} }})")

    def settings(self) -> dict[str, Any]:
        """Label, size, rate and state of the open camera."""
        found: dict[str, Any] = self.run("return settings()")
        return found

    def picture_that(self, shows: Callable[[NDArray[np.uint8]], bool]) -> NDArray[np.uint8]:
        """The first picture of which that is true.

        Raises:
            PageError: none comes.
        """
        deadline = time.monotonic() + _START_S
        while not shows(picture := self.picture()):
            if time.monotonic() > deadline:
                raise PageError(f"{self._name}: no such picture after {_START_S:g} s")
        return picture

    def picture(self) -> NDArray[np.uint8]:
        """The next picture of the camera as the page sees it: uint8 [H, W, 3] RGB."""
        width, height = self.run("return await sendPicture()")
        return np.frombuffer(self._mail.pictures.get_nowait(), np.uint8).reshape(height, width, 4)[
            ..., :3
        ]


class _Mail:
    """What the test and the page have for each other."""

    def __init__(self) -> None:
        self.jobs: queue.Queue[str] = queue.Queue()
        self.answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self.pictures: queue.Queue[bytes] = queue.Queue()


class _Handler(BaseHTTPRequestHandler):
    mail: _Mail

    def do_GET(self) -> None:
        if self.path != "/job":
            return self._reply(
                _PAGE.read_bytes() if self.path == "/" else b"", "text/html; charset=utf-8"
            )
        try:
            job = self.mail.jobs.get(timeout=_POLL_S)
        except queue.Empty:
            job = ""  # the page asks again
        return self._reply(job.encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/picture":
            self.mail.pictures.put(body)
        else:
            self.mail.answers.put(json.loads(body))
        self._reply(b"")

    def _reply(self, body: bytes, kind: str = "text/plain") -> None:
        with suppress(ConnectionError):  # the browser has been ended
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
        """Say nothing."""
