"""Every error of every command is one line without control characters that says where it stood."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.cli.test_cli import vcam
from vcam.config import Known, read_defaults
from vcam.errors import MatteMissing, StageError, UsageError, explained
from vcam.text import one_line

ESCAPE = "\x1b]0;owned\x07"
KNOWN = Known({}, {"run": Known({"fps": False}, {})})


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\nb\n", ESCAPE, "\u202eabc", "\x00", "\udc80", "\u2028", "a" * 5000]
)
def test_a_line_is_one_line(text: str) -> None:
    line = one_line(text)
    assert line.isprintable()
    assert len(line) < 1010


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(),
        OSError(24, "Too many open files"),
        IndexError("a\nb"),
        KeyError("x"),
    ],
)
def test_every_exception_has_words(error: BaseException) -> None:
    text = str(StageError("compose", error))
    assert text.isprintable()
    assert text.startswith("compose: ")
    assert ";" in text, "the next step is missing"
    assert explained(MatteMissing())


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        b"a = " + b"[" * 100_000,
        b"\xff\xfea\x00",
        b"x = \x1b[31m",
        b"[run]\nfps = 1\nfps = 2",
        b"#" * (1 << 21),
    ],
)
def test_settings_that_are_none(tmp_path: Path, content: bytes) -> None:
    file = _write(tmp_path / "c.toml", content)
    with pytest.raises(UsageError, match=r"c\.toml: .*; .*--config") as refused:
        read_defaults(file, None, KNOWN)
    assert str(refused.value).isprintable()


def test_settings_with_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    file = _write(tmp_path / "c.toml", b"\xef\xbb\xbf[run]\r\nfps = 25\r\n")
    assert read_defaults(file, None, KNOWN) == {"run": {"fps": 25}}


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_settings_in_a_pipe_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "c.toml")
    with pytest.raises(UsageError, match="not a regular file"):
        read_defaults(tmp_path / "c.toml", None, KNOWN)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (["run", "--fps", "abc"], "", ["--fps", "vcam run --help"]),
        (["run", "--efect", "blur"], "", ["--efect", "--effect"]),
        (["frobnicate"], "", ["frobnicate"]),
        (["mask"], "", ["images"]),
        (["run"], '[run]\nfps = "fast"', ["c.toml", "fps", "fast"]),
        (["run"], "[run]\nmirror = 7.5", ["c.toml", "mirror", "7.5"]),
        (["run"], "[run]\nthreads = [1]", ["c.toml", "threads"]),
        (["--profile", "m", "run"], "[profile.m.run]\nfps = false", ["c.toml", "profile m", "fps"]),
        (["run", "--source", f"{ESCAPE}.mp4"], "", ["\\x1b"]),
        (["run", "--source", "demo", "--sink", "a\nb.xyz"], "", [".xyz"]),
        (["run", "--source", "x" * 400], "", ["xxx"]),
        (["run", "--source", "demo", "--sink", "x" * 400 + ".mp4"], "", ["too long"]),
        (["run", "--source", "http://["], "", ["http://["]),
        (["run", "--duration", "inf", "--source", "demo", "--sink", "a.mp4"], "", ["inf"]),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, arguments: list[str], settings: str, words: list[str]
) -> None:
    _write(tmp_path / "c.toml", settings.encode())
    done = vcam("--config", "c.toml", *arguments, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr[:-1].isprintable()
    for word in words:
        assert word in done.stderr
