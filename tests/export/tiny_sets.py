"""Tiny pictures and masks for made-up sets."""

from __future__ import annotations

import zlib
from pathlib import Path

import cv2
import numpy as np

from export.data.image import Image

SIZE = (12, 16)


def write(path: Path, plane: Image | None = None) -> None:
    """A mask, or else a blue picture of the same size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blue = np.full((*SIZE, 3), (200, 0, 0), np.uint8)
    cv2.imwrite(str(path), blue if plane is None else plane)


def block(value: int = 255) -> Image:
    """A mask that is `value` in a block at the lower edge, else 0."""
    plane = np.zeros(SIZE, np.uint8)
    plane[4:, 5:11] = value
    return plane


def palette_png(indices: Image, colours: bytes) -> bytes:
    """A PNG of uint8 [H, W]; three bytes in `colours` for each index."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    height, width = indices.shape
    head = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 3, 0, 0, 0])
    rows = zlib.compress(b"".join(b"\x00" + row.tobytes() for row in indices))
    parts = (
        chunk(b"IHDR", head),
        chunk(b"PLTE", colours),
        chunk(b"IDAT", rows),
        chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
