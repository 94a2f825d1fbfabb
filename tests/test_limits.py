"""A few bytes do not take the memory or the time of the machine."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="measures memory as POSIX does"),
]

_MOST_MB = 500
"""vcam itself takes 80 to 180 MB; every one of these pictures would take more than this."""
_MEASURE = """
import os, resource, sys
from vcam.cli.program import main
try:
    main()
finally:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "darwin":
        peak >>= 10
    if sys.platform == "linux":  # there, getrusage counts what the process held before its exec
        with open("/proc/self/status") as status:
            peak = int(next(line for line in status if line.startswith("VmHWM:")).split()[1])
    os.write(1, b"peak %d" % (peak >> 10))
"""


def _png(side: int, depth: int, colour: int, bits: int) -> bytes:
    row = bytes(1 + (side * bits + 7) // 8)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def _gif(side: int) -> bytes:
    size = struct.pack("<HH", side, side)
    return b"GIF89a" + size + b"\x80\0\0\0\0\0\xff\xff\xff\x2c\0\0\0\0" + size + b"\0\2\2\x4c\1\0;"


def _bmp(side: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header


def _boxes() -> bytes:
    return (
        struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0) + struct.pack(">I4s", 8, b"free") * 20_000
    )


BOMBS = {
    "a.gif": _gif(16_000),
    "one-bit.png": _png(12_000, 1, 0, 1),
    "grey.png": _png(15_000, 8, 0, 8),
    "a.bmp": _bmp(20_000),
    "a.pgm": b"P5\n30000 30000\n255\n",
    "boxes.mp4": _boxes(),
}
WAYS = {
    "source": ("run", "-s", "{}", "-e", "none", "-o", "out.png"),
    "image": ("run", "-s", "demo", "--duration", "0.1", "-o", "out.mp4", "-e", "image:{}"),
    "video": ("run", "-s", "demo", "--duration", "0.1", "-o", "out.mp4", "-e", "video:{}"),
    "mask": ("mask", "{}", "--out", "masks"),
}


@pytest.mark.parametrize(
    ("name", "way"),
    [
        *((name, "source") for name in BOMBS),
        *((name, "video") for name in BOMBS),
        ("grey.png", "image"),
        ("grey.png", "mask"),
    ],
)
def test_a_bomb_is_refused_in_one_line_and_little_memory(
    tmp_path: Path, name: str, way: str
) -> None:
    (tmp_path / name).write_bytes(BOMBS[name])
    arguments = [word.format(name) for word in WAYS[way]]
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("vcam: ")
    assert name in done.stderr
    assert int(done.stdout.rpartition("peak ")[2]) < _MOST_MB
    assert not list(tmp_path.glob("out.*"))


def test_more_may_be_allowed_and_a_wrong_limit_is_said(tmp_path: Path) -> None:
    for value, words in (
        ("0", "from 1 to 4000"),
        ("many", "from 1 to 4000"),
        ("1", "1 megapixels"),
    ):
        (tmp_path / "a.png").write_bytes(_png(1200, 8, 0, 8))
        done = subprocess.run(
            [sys.executable, "-m", "vcam", "run", "-s", "a.png", "-e", "none", "-o", "out.png"],
            cwd=tmp_path,
            env={"VCAM_MAX_MEGAPIXELS": value, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert words in done.stderr
