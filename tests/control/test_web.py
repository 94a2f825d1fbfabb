"""The local interface: who is let in, what is refused, and that nobody can slow the call down."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import socket
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.control.runs import Run, actions_of, running, until, write_film
from tests.helpers import frame_of, room_is_hidden
from vcam.control import serve
from vcam.control.guard import Rate
from vcam.control.lines import ask
from vcam.control.serve import Server
from vcam.errors import UsageError, VcamError
from vcam.sources.memory import MemorySource


class Client:
    """Asks one server, with the right words unless others are given."""

    def __init__(self, run: Run, folder: Path, address: str) -> None:
        self.run, self.folder = run, folder
        self.port = int(address.split(":")[2].split("/", maxsplit=1)[0])
        self.ticket = address.partition("#ticket=")[2]
        self.token = (folder / f"{os.getpid()}.token").read_text().strip()

    def ask(
        self, method: str, path: str, body: bytes = b"", /, **headers: str | None
    ) -> tuple[int, dict[str, str], bytes]:
        sent = {"Host": f"127.0.0.1:{self.port}", "Authorization": f"Bearer {self.token}"}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        line.putrequest(method, path, skip_host=True)
        for name, value in {**sent, **given}.items():
            if value is not None:
                line.putheader(name, value)
        line.putheader("Content-Length", str(len(body)))
        line.endheaders()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before the end
            line.send(body)
        answer = line.getresponse()
        found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        line.close()
        return found

    def json(self, method: str, path: str, value: object = None) -> tuple[int, Any]:
        status, _, body = self.ask(
            method, path, b"" if value is None else json.dumps(value).encode()
        )
        return status, json.loads(body)

    def socket(self, token: str | None = None, origin: str | None = None) -> ClientConnection:
        mine, given = f"http://127.0.0.1:{self.port}", self.token if token is None else token
        return connect(
            f"ws://127.0.0.1:{self.port}/api/live",
            origin=Origin(origin or mine),
            subprotocols=[Subprotocol("vcam"), Subprotocol(f"token.{given}")],
            close_timeout=1,
        )


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with (
        running(["blur"], {"first": MemorySource([frame_of()], fps=60, live=True)}) as run,
        Server(actions_of(run, tmp_path), tmp_path / "run", metrics=True) as server,
    ):
        yield Client(run, tmp_path / "run", server.open_page())


PICTURES = ("/api/snapshot.png", "/api/run", "/api/backgrounds", "/api/schema", "/api/doctor")


def test_the_files_and_the_socket_are_the_users_alone(client: Client) -> None:
    for path in (client.folder, *client.folder.iterdir()):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    listener = socket.socket()
    others = [host for host in _own_addresses() if not host.startswith("127.")]
    for host in others:
        assert listener.connect_ex((host, client.port)) != 0, f"listens on {host}"
    listener.close()


def _own_addresses() -> list[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return []
        return [probe.getsockname()[0]]


STRANGERS: tuple[tuple[dict[str, str | None], int], ...] = (
    ({"Authorization": None}, 401),
    ({"Authorization": "Bearer wrong"}, 401),
    ({"Authorization": "Basic eDp5"}, 401),
    ({"Host": "evil.example"}, 421),
    ({"Host": "evil.example:80"}, 421),
    ({"Host": "127.0.0.1"}, 421),
    ({"Host": None}, 400),
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://127.0.0.1:1"}, 403),
    ({"Sec_Fetch_Site": "cross-site"}, 403),
    ({"Sec_Fetch_Site": "same-site"}, 403),
)


@pytest.mark.parametrize("path", PICTURES[:2])
def test_who_is_not_the_page_gets_nothing(client: Client, path: str) -> None:
    for headers, status in STRANGERS:
        found, _, body = client.ask("GET", path, b"", **headers)
        assert found == status, headers
        assert b"PNG" not in body
    for other in PICTURES:
        assert client.ask("GET", other, Authorization=None)[0] == 401
    assert client.ask("GET", path)[0] == 200


def test_the_page_itself_needs_no_token_and_may_do_little(client: Client) -> None:
    for path in ("/", "/page.js", "/page.css", "/icon.svg"):
        status, headers, body = client.ask("GET", path, Authorization=None)
        assert status == 200
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert client.token.encode() not in body
    assert client.ask("GET", "/../../etc/passwd", Authorization=None)[0] in (401, 404)
    assert client.ask("GET", "/api/backgrounds/..%2f..%2fx/thumbnail.jpg")[0] in (400, 404)


def test_a_ticket_works_once(client: Client) -> None:
    given = json.dumps({"given": client.ticket}).encode()
    status, _, body = client.ask("POST", "/api/token", given, Authorization=None)
    assert (status, json.loads(body)) == (200, {"token": client.token})
    assert client.ask("POST", "/api/token", given, Authorization=None)[0] == 401
    for wrong in (b"{}", b"[]", b'{"given": 7}', b'{"given": ""}', b'{"given": "x"}'):
        assert client.ask("POST", "/api/token", wrong, Authorization=None)[0] == 401
    assert client.ask("POST", "/api/token", b"no json", Authorization=None)[0] == 400


def test_guesses_of_the_token_are_slowed_down(client: Client) -> None:
    statuses = [client.ask("GET", "/api/run", Authorization=f"Bearer {i}")[0] for i in range(60)]
    assert set(statuses) == {401, 429}
    assert client.ask("GET", "/api/run")[0] == 200, "the page goes on"


def test_a_change_by_http_is_checked_by_the_schema(client: Client) -> None:
    status, wanted = client.json("PATCH", "/api/run", {"blur.strength": 0.9, "mirror": True})
    assert (status, wanted["mirror"]) == (200, True)
    assert client.run.control.wanted.effects[0].values == {"strength": 0.9}
    bad: object
    for bad in (
        {"blur.strength": 7},
        {"blur.strength": "x" * 1000},
        {"image.path": "/etc/passwd"},
        {"image": "/etc/passwd"},
        {"video.path": "gallery:../../etc/passwd"},
        {"source": "/etc/passwd"},
        {"effects": ["image:/etc/passwd"]},
        {"nonsense": 1},
        {},
        [],
        7,
        {"mirror": {"a": 1}},
        {"order": [1, 2]},
    ):
        status, answer = client.json("PATCH", "/api/run", bad)
        assert status == 400, bad
        assert len(answer["error"]) < 400
    assert client.ask("PATCH", "/api/run", b"{")[0] == 400
    assert client.ask("PATCH", "/api/run", b" " * 70_000)[0] == 413
    assert client.json("POST", "/api/toggle/blur")[0] == 400, "the room would be shown"


def test_every_path_of_the_openapi_document_is_there(client: Client) -> None:
    _, document = client.json("GET", "/openapi.json")
    assert document["openapi"] == "3.1.0"
    changes = document["components"]["schemas"]["Changes"]["properties"]
    assert changes["blur.strength"]["maximum"] == 1
    assert changes["feather"]["x-unit"] == "px"
    for path, methods in document["paths"].items():
        if "measure" not in path and path not in ("/api/stop", "/api/doctor"):
            for method in methods:
                status = client.ask(method.upper(), path.replace("{", "").replace("}", ""))[0]
                assert status not in (404, 405, 500), (method, path)
    status, _, body = client.ask("GET", "/metrics", Authorization=None)
    assert status == 200
    assert b"# TYPE vcam_healthy gauge\nvcam_healthy 1\n" in body
    assert client.ask("GET", "/metrics", Authorization=None, Host="evil.example")[0] == 421


def _png(width: int, height: int, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", data or zlib.compress(b"\0" * 64))
        + chunk(b"IEND", b"")
    )


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


BAD_UPLOADS = (
    (_png(10_000, 10_000), "up to 50 megapixels"),
    (_png(2**31 - 1, 2**31 - 1), "megapixels"),
    (_png(0, 10), "damaged"),
    (_png(64, 64, b"junk"), "damaged"),
    (_png(64, 64)[:40], "damaged"),
    (b"just text, called a picture", "no PNG, JPEG or WebP"),
    (SVG, "no PNG, JPEG or WebP"),
    (b"\x89PNG\r\n\x1a\n" + SVG, "picture is"),  # damaged or huge, as the library reads it
    (b"\xff\xd8\xff" + b"\0" * 500, "damaged"),
    (b"RIFF\0\0\0\0AVI LIST", "no PNG, JPEG or WebP"),
    (b"RIFF\0\0\0\0WEBPVP8 " + b"\0" * 30, "damaged"),
    (b"GIF89a" + b"\0" * 100, "a film is not uploaded"),
    (b"", "no PNG, JPEG or WebP"),
)


def test_bad_uploads_leave_nothing(client: Client, tmp_path: Path) -> None:
    for data, error in BAD_UPLOADS:
        status, _, body = client.ask("PUT", "/api/backgrounds?name=room.png", data)
        assert status == 400, data[:20]
        assert error in json.loads(body)["error"]
    assert not (tmp_path / "own").exists()


def test_an_upload_is_written_anew_and_its_name_is_no_path(client: Client, tmp_path: Path) -> None:
    picture = Image.fromarray(np.full((40, 60, 3), (200, 30, 60), np.uint8))
    note = Image.Exif()
    note[0x010E] = "where I live"
    data = io.BytesIO()
    picture.save(data, "JPEG", exif=note)
    upload = data.getvalue() + b"<script>alert(1)</script>"
    name = "..%2F..%2F..%2Fhome%2Fme%2F.bashrc%00.png"
    status, _, body = client.ask("PUT", f"/api/backgrounds?name={name}", upload)
    kept = json.loads(body)
    assert status == 201
    assert kept["label"] == ".bashrc"
    files = sorted(path.name for path in (tmp_path / "own").iterdir())
    assert files == sorted([f"{kept['id']}.jpg", "names.json"])
    assert kept["id"].isalnum()
    stored = (tmp_path / "own" / files[0]).read_bytes()
    assert b"script" not in stored
    assert b"live" not in stored
    assert Image.open(io.BytesIO(stored)).size == (60, 40)
    assert client.json("PATCH", "/api/run", {"image.path": f"gallery:{kept['id']}"})[0] == 200
    assert client.json("DELETE", f"/api/backgrounds/{kept['id']}")[0] == 400, "in use"
    client.json("PATCH", "/api/run", {"image": False})
    status, headers, small = client.ask("GET", f"/api/backgrounds/{kept['id']}/thumbnail.jpg")
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(small)).size == (320, 180)
    assert client.json("DELETE", f"/api/backgrounds/{kept['id']}")[0] == 200
    assert not list((tmp_path / "own").glob("*.jpg"))
    too_much = b"\x89PNG\r\n\x1a\n" + b"\0" * (21 << 20)
    with contextlib.suppress(OSError):
        assert client.ask("PUT", "/api/backgrounds?name=x", too_much)[0] == 413


def test_films_are_those_of_the_folder(client: Client, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    film = write_film(own / "Waves at night.mp4", (0, 255, 0))
    (own / "broken.mkv").write_text("no film")
    (own / ".hidden.mp4").write_bytes(film.read_bytes())
    (own / "notes.txt").write_text("none")
    (own / "folder.mp4").mkdir()
    os.mkfifo(own / "pipe.mp4")
    listed = client.json("GET", "/api/backgrounds")[1]
    films = {one["label"]: one["id"] for one in listed if one["is_film"]}
    assert list(films) == ["Waves at night", "broken"]
    name = films["Waves at night"]
    status, headers, small = client.ask("GET", f"/api/backgrounds/{name}/thumbnail.jpg")
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    corner = np.asarray(Image.open(io.BytesIO(small)).convert("RGB"))[9, 9]
    assert corner[1] > 240
    assert max(corner[0], corner[2]) < 20
    change = {"video.path": f"gallery:{name}", "color": False}
    assert client.json("PATCH", "/api/run", change)[0] == 200
    worn = {one.name: one.values for one in client.run.control.wanted.effects}
    assert worn["video"] == {"path": str(film)}
    assert until(lambda: int(client.run.sink.frames[-1].y[4, 4]) > 130)  # green, by BT.601
    green_from = len(client.run.sink.frames) - 1
    for key, what in (("video", "broken"), ("image", "Waves at night")):
        change = {f"{key}.path": f"gallery:{films[what]}", "video": False, key: True}
        status, said = client.json("PATCH", "/api/run", change)
        assert status == 400, said
    assert client.ask("GET", f"/api/backgrounds/{films['broken']}/thumbnail.jpg")[0] == 400
    assert client.json("DELETE", f"/api/backgrounds/{name}")[0] == 400
    assert film.is_file(), "what the user put there is his"
    status, _, body = client.ask("PUT", "/api/backgrounds?name=x.mp4", film.read_bytes())
    assert status == 400
    assert f"put it into {own}" in json.loads(body)["error"]
    assert all(room_is_hidden(frame) for frame in client.run.sink.frames[green_from:])


def test_a_page_that_does_not_read_holds_nothing_up(client: Client) -> None:
    with client.socket() as page:
        json.loads(page.recv(10))
        page.send('{"views": ["after", "before"]}')
        while isinstance(page.recv(10), str):
            pass
        start = len(client.run.sink.frames)  # from here on the page says nothing
        assert until(lambda: len(client.run.sink.frames) > start + 60)
        assert client.run.control.tap.wanted
        assert until(lambda: not client.run.control.tap.wanted, 15), "it is let go"


def _flood(page: ClientConnection, message: str) -> None:
    """Send more than anybody may, and read until the socket is closed."""
    for _ in range(5000):
        page.send(message)
    while True:
        page.recv(10)


def test_a_flood_of_messages_ends_the_socket_and_not_the_call(client: Client) -> None:
    with client.socket() as page, client.socket() as other:
        with pytest.raises(ConnectionClosed) as closed:
            _flood(page, '{"set": {"mirror": true}, "id": 1}')
        closing = closed.value.rcvd  # may be lost with what was on its way
        assert closing is None or closing.code == 1008
        other.send('{"set": {"blur.strength": 0.3}, "id": 9}')
        while "answer" not in (said := json.loads(other.recv(10)))["kind"]:
            pass
        assert said == {"kind": "answer", "id": 9}
    with client.socket() as page, pytest.raises(ConnectionClosed):
        _flood(page, "x" * 100_000)
    start = len(client.run.sink.frames)
    assert until(lambda: len(client.run.sink.frames) > start + 10)


@pytest.mark.parametrize(
    ("token", "origin"),
    [("wrong", None), ("", None), (None, "http://evil.example"), (None, "null")],
)
def test_a_socket_needs_the_token_and_the_origin(
    client: Client, token: str | None, origin: str | None
) -> None:
    with pytest.raises(InvalidStatus) as refused, client.socket(token, origin):
        pass
    assert refused.value.response.status_code == 403


def test_preview_comes_in_the_views_that_are_asked_for_and_only_then(client: Client) -> None:
    tap = client.run.control.tap
    assert not tap.wanted
    with client.socket() as page:
        page.send('{"views": ["mask", "before", "after", "../etc"]}')
        while isinstance(data := page.recv(10), str):
            pass
        assert tap.wanted
        number, count = struct.unpack_from("<II", data)
        at, found = 8, {}
        for _ in range(count):
            view, length = struct.unpack_from("<II", data, at)
            found[view] = Image.open(io.BytesIO(data[at + 8 : at + 8 + length])).convert("RGB")
            at += 8 + length
        assert number > 0
        assert sorted(found) == [0, 1, 2]
        assert found[1].getpixel((4, 4))[0] > 200, "the page shows the camera"
        page.send('{"views": []}')
        assert until(lambda: not tap.wanted)


def test_two_pages_hear_of_each_others_changes(client: Client) -> None:
    with client.socket() as one, client.socket() as two:
        one.send('{"set": {"feather": 3}, "id": 1}')
        while (said := json.loads(two.recv(10)))["kind"] != "changed":
            pass
        assert said["data"]["feather"] == 3
        assert until(lambda: one.recv(10))


def test_the_command_line_asks_over_a_socket_of_this_user_only(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(client.folder, "set", changes={"mirror": "on"})["mirror"] is True
    assert ask(client.folder, "toggle", key="mirror")["mirror"] is False
    with pytest.raises(VcamError, match="not a number from 0 to 1"):
        ask(client.folder, "set", changes={"blur.strength": "7"})
    for do, more in (("nonsense", {}), ("set", {}), ("toggle", {"key": "x", "y": 1})):
        with pytest.raises(VcamError, match=r"not understood|unknown"):
            ask(client.folder, do, **more)
    monkeypatch.setattr(serve, "_is_same_user", lambda _: False)
    with pytest.raises(UsageError, match=r"does not answer|no vcam"):
        ask(client.folder, "about")


def test_a_page_goes_on_with_the_run_after_this_one(client: Client, tmp_path: Path) -> None:
    with Server(actions_of(client.run, tmp_path), tmp_path / "run") as server:
        server.open_page()
        given = json.dumps({"given": client.token}).encode()
        port = json.loads((client.folder / "page.json").read_text())["port"]
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        line.request("POST", "/api/token", given)
        answer = line.getresponse()
        assert answer.status == 200
        new = json.loads(answer.read())["token"]
        assert new != client.token
        line.close()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with running() as run:
        for folder in (tmp_path / "file" / "vcam", tmp_path / ("long" * 40)):
            server = Server(actions_of(run, tmp_path), folder)
            with pytest.raises(UsageError, match="set XDG_RUNTIME_DIR to a folder of yours"):
                server.__enter__()
            assert until(lambda server=server: not server._thread.is_alive())  # type: ignore[misc]


def test_a_rate_refills() -> None:
    now_s = 0.0
    rate = Rate(2, 3, clock=lambda: now_s)
    assert [rate.take() for _ in range(4)] == [True, True, True, False]
    now_s = 0.5
    assert [rate.take() for _ in range(2)] == [True, False]
