"""Nobody on the network hears of vcam, and no library leaves files behind: seen by strace, in an
empty home.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vcam
from vcam import telemetry

_CONNECTS = re.compile(
    r"\b(connect|sendto|sendmsg|sendmmsg|bind)\(.*(sa_family=AF_INET6?|AF_NETLINK)"
)
_MAY_WRITE = re.compile(r"\.cache/vcam/running/\d+\.json|Library/.*|out/.*")

COMMANDS = (
    ["run", "--source", "demo", "--sink", "null", "--duration", "0.3"],
    ["run", "--source", "demo", "--sink", "out/film.mp4", "--duration", "0.2", "--effect", "teeth"],
    ["mask", "picture.jpg", "--out", "out/masks"],
    ["bench", "--runs", "2"],
    ["bench", "--runs", "2", "--backend", "openvino"],
    ["engines"],
    ["engines", "verify"],
    ["devices"],
    ["doctor"],
    ["setup"],
    ["status"],
)


def _run(arguments: list[str], home: Path, program: list[str], before: tuple[str, ...] = ()) -> str:
    """Run a command in an empty home, and return what it wrote on standard error."""
    keep = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "LANG")
    environment = {name: os.environ[name] for name in keep if name in os.environ} | {
        "HOME": str(home)
    }
    done = subprocess.run(
        [*before, *program, *arguments],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1, 2, 3), done.stderr
    return done.stderr


def _left(home: Path) -> list[str]:
    """The files in the home that vcam has not meant to write."""
    files = (str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    return [name for name in files if not _MAY_WRITE.fullmatch(name) and name != "picture.jpg"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    portrait = next(Path(vcam.__file__).parent.rglob("*.jpg"))
    shutil.copy(portrait, tmp_path / "picture.jpg")
    return tmp_path


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_no_command_connects_or_leaves_a_file(
    arguments: list[str], home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = tmp_path_factory.mktemp("strace") / "log"
    before = ("strace", "-f", "-qq", "-e", "trace=network", "-o", str(log))
    _run(arguments, home, [sys.executable, "-m", "vcam.cli"], before)
    assert [line for line in log.read_text().splitlines() if _CONNECTS.search(line)] == []
    assert _left(home) == []


def test_what_is_on_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert telemetry.leaks() == []
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    monkeypatch.setitem(sys.modules, "openvino_telemetry", sys)
    assert telemetry.leaks() == ["ORT_DISABLE_TELEMETRY", "openvino_telemetry"]
