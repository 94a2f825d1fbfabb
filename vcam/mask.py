"""Masks of single pictures, as files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.effects.pyramid import LOW_WIDTH_PX, halve
from vcam.effects.refine import RefineConfig, refine
from vcam.errors import SinkError, UsageError
from vcam.frame import Matte, Plane
from vcam.matting import Matter

PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """The pictures themselves, and those directly in the folders among `paths`, sorted within each folder.

    Raises:
        UsageError: a folder without pictures, or two pictures whose masks would have one name.
    """
    pictures: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
            if not inside:
                raise UsageError(f"{path}: no pictures in this folder ({' '.join(PICTURE_SUFFIXES)})")
            pictures += inside
        else:
            pictures.append(path)
    seen: dict[str, Path] = {}
    for picture in pictures:
        if (other := seen.setdefault(picture.stem, picture)) != picture:
            raise UsageError(f"{other} and {picture} would both become {picture.stem}.png; give them separately")
    return pictures


def picture_alpha(matter: Matter, image: NDArray[np.uint8]) -> Plane:
    """The alpha uint8 [H, W], 0 room .. 255 person, of one uint8 [H, W, 3] RGB picture, at the picture's own size.

    Raises:
        EngineError: the engine failed.
    """
    matte = matter.matte_of_picture(image)
    luma = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    low = luma
    while low.shape[1] > LOW_WIDTH_PX:
        low = halve(low)
    mask = refine(Matte(matte.alpha), luma, low, RefineConfig())
    return mask.full((luma.shape[1], luma.shape[0]))


def write_masks(
    matter: Matter, pictures: Sequence[Path], out: Path, threshold: float | None
) -> Iterator[tuple[Path, Exception | None]]:
    """Write `<stem>.png`, 8-bit grey, for each picture; yield the picture with what went wrong with it, if anything.

    Args:
        matter: open.
        pictures: to be read.
        out: a folder; created.
        threshold: 0..1: pixels that are person by at least this much become 255, the others 0. None: the alpha as it
            is.

    Raises:
        SinkError: the folder cannot be written to; nothing further would succeed.
        EngineError: the engine failed.
    """
    from vcam.errors import SourceError
    from vcam.sources.image import read_image

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"{out}: {error.strerror}; name another folder with --out") from error
    for picture in pictures:
        try:
            image = read_image(picture)
        except SourceError as error:
            yield picture, error
            continue
        alpha = picture_alpha(matter, image)
        if threshold is not None:
            alpha = np.where(alpha >= max(1, round(threshold * 255)), 255, 0).astype(np.uint8)
        _write(out / f"{picture.stem}.png", alpha)
        yield picture, None


def _write(path: Path, mask: Plane) -> None:
    """Write a PNG under a temporary name and rename it, so that no half picture is ever found."""
    partial = path.with_name(f".{path.name}.partial")
    _, data = cv2.imencode(".png", mask)
    try:
        partial.write_bytes(data.tobytes())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise SinkError(f"{path}: {error.strerror}; free some space or name another folder with --out") from error
