"""Masks of single pictures, as files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.backends import best_precision, make_backend
from vcam.catalogue import (
    AUTO_ENGINE,
    DEFAULT_FACE_ENGINE,
    DEFAULT_FACE_MESH,
    engine_folders,
    find_engine,
    person_engines,
)
from vcam.errors import SinkError, UsageError
from vcam.face.finder import FaceFinder, landmarks, open_finder, overlay
from vcam.face.parser import FaceParser, Parser
from vcam.face.picture import picture_probs
from vcam.files import check_target, is_same_file, reason, remove_leftovers, write_whole
from vcam.frame import FaceClass, Matte, Plane
from vcam.matting.auto import quality_of
from vcam.matting.matter import Matter
from vcam.matting.pyramid import LOW_WIDTH_PX, halve
from vcam.matting.refine import RefineConfig, refine

PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

CLASS_NAMES = tuple(member.name.lower().replace("_", "-") for member in FaceClass)
"""Of a face engine's classes, as users write them."""
_PALETTE = (
    (0, 0, 0),
    (92, 92, 92),
    (244, 196, 160),
    (120, 72, 24),
    (176, 120, 56),
    (40, 120, 255),
    (40, 220, 220),
    (224, 40, 88),
    (255, 255, 255),
)
"""R, G, B of the classes, in their order."""


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """The pictures themselves, and those directly in the folders among `paths`, sorted within each
    folder.

    Raises:
        UsageError: a folder without pictures, or two pictures whose masks would have one name.
    """
    pictures: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
            if not inside:
                raise UsageError(
                    f"{path}: no pictures in this folder ({' '.join(PICTURE_SUFFIXES)})"
                )
            pictures += inside
        else:
            pictures.append(path)
    seen: dict[str, Path] = {}
    for picture in pictures:
        if (other := seen.setdefault(picture.stem, picture)) != picture:
            raise UsageError(
                f"{other} and {picture} would both become {picture.stem}.png; give them separately"
            )
    return pictures


def picture_alpha(matter: Matter, image: NDArray[np.uint8]) -> Plane:
    """The alpha uint8 [H, W], 0 room .. 255 person, of one uint8 [H, W, 3] RGB picture, at the
    picture's own size.

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


def picture_mask(matter: Matter, image: NDArray[np.uint8], threshold: float | None) -> Plane:
    """The alpha of a picture; see `picture_alpha`.

    threshold: 0..1: pixels that are person by at least this much become 255, the others 0. None:
        the alpha as it is.
    """
    alpha = picture_alpha(matter, image)
    return (
        alpha
        if threshold is None
        else np.where(alpha >= max(1, round(threshold * 255)), 255, 0).astype(np.uint8)
    )


def face_mask(
    parser: Parser, finder: FaceFinder, image: NDArray[np.uint8], kind: str
) -> NDArray[np.uint8]:
    """The classes of a picture, at its own size.

    Args:
        parser: open.
        finder: open.
        image: uint8 [H, W, 3] RGB.
        kind: "labels": uint8 [H, W], the number of the likeliest FaceClass; "palette": uint8 [H, W,
            3] RGB, its colour; else the name of a class: uint8 [H, W], how likely it is, 0..255.

    Raises:
        EngineError: the engine failed.
    """
    probs = picture_probs(parser, finder, image)
    if kind in CLASS_NAMES:
        return np.asarray(probs[CLASS_NAMES.index(kind)], np.uint8)
    labels = np.asarray(probs.argmax(axis=0), np.uint8)
    return labels if kind == "labels" else np.asarray(np.array(_PALETTE, np.uint8)[labels])


def write_masks(
    mask_of: Callable[[NDArray[np.uint8]], NDArray[np.uint8] | dict[str, bytes]],
    pictures: Sequence[Path],
    out: Path,
    overwrite: bool = False,
    suffixes: Sequence[str] = (".png",),
) -> Iterator[tuple[Path, Exception | None]]:
    """Write `<stem>.png`, 8 bits, for each picture; yield the picture with what went wrong with it,
    if anything.

    Args:
        mask_of: from a picture uint8 [H, W, 3] RGB to what is written, grey or RGB, or to the bytes
            of files by suffix.
        pictures: to be read.
        out: a folder; created.
        overwrite: masks that are there already may be replaced.
        suffixes: of the files that `mask_of` gives.

    Raises:
        UsageError: a mask would replace one of the pictures, or is there already; nothing was
            written.
        SinkError: the folder cannot be written to; nothing further would succeed.
        EngineError: the engine failed.
    """
    from vcam.errors import SourceError
    from vcam.sources.image import read_image

    for suffix in suffixes:
        _check_targets(pictures, out, suffix, overwrite)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"{out}: {error.strerror}; name another folder with --out") from error
    remove_leftovers(out)
    for picture in pictures:
        try:
            image = read_image(picture)
        except SourceError as error:
            yield picture, error
            continue
        made = mask_of(image)
        files = made if isinstance(made, dict) else {".png": _png(made)}
        for suffix, data in files.items():
            _write(out / f"{picture.stem}{suffix}", data, overwrite)
        yield picture, None


def _check_targets(pictures: Sequence[Path], out: Path, suffix: str, overwrite: bool) -> None:
    """Refuse before any work what would destroy a picture or an earlier mask."""
    for picture in pictures:
        mask = out / f"{picture.stem}{suffix}"
        if any(is_same_file(mask, other) for other in pictures):
            raise UsageError(
                f"{picture}: its mask would replace it, or another picture; name another folder "
                f"with --out"
            )
        try:
            check_target(mask, overwrite)
        except OSError as error:
            raise UsageError(f"{mask}: {reason(error)}") from error


def _png(mask: NDArray[np.uint8]) -> bytes:
    """A PNG of uint8 [H, W], grey, or [H, W, 3] RGB."""
    image = mask if mask.ndim == 2 else cv2.cvtColor(mask, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".png", image)[1].tobytes())


def _write(path: Path, data: bytes, overwrite: bool) -> None:
    """Write a file whole or not at all."""
    try:
        write_whole(path, data, overwrite=overwrite)
    except OSError as error:
        raise SinkError(f"{path}: {reason(error)}") from error


@contextmanager
def open_masks(
    engine: str,
    engines: tuple[Path, ...],
    backend: str,
    threads: int,
    kind: str | None,
    threshold: float | None,
) -> Iterator[Callable[[NDArray[np.uint8]], NDArray[np.uint8]]]:
    """What makes the mask of a picture uint8 [H, W, 3] RGB, by a person engine or a face engine;
    see `open_matter`.

    kind: "labels" or "palette", the name of a class, or None: person or not, or the labels.
    threshold: from which share on it is a person; None: 0.5.

    Raises:
        UsageError: unknown engine or backend, or the engine has no such mask.
        EngineError: a damaged file.
    """
    if engine == AUTO_ENGINE:  # a picture may take its time: the best there is
        specs = person_engines(engine_folders(engines), best_precision(backend))
        quality = quality_of(specs)
        spec = max(specs, key=lambda x: quality[x.name])
    else:
        spec = find_engine(engine, engine_folders(engines))
    if spec.task not in ("person", "face"):
        raise UsageError(
            f"{spec.name} is a {spec.task} engine and makes no masks; give --landmarks or "
            f"--overlay, or choose a person or face engine, such as --engine {DEFAULT_FACE_ENGINE}"
        )
    is_face = spec.task == "face"
    known = (*CLASS_NAMES, "labels", "palette") if is_face else ("person",)
    if kind is not None and kind not in known:
        other = (
            "" if is_face else f"; more have face engines, such as --engine {DEFAULT_FACE_ENGINE}"
        )
        raise UsageError(f"{spec.name} has no mask {kind!r}; it has {', '.join(known)}{other}")
    if is_face and threshold is not None:
        raise UsageError(
            f"--threshold cuts the masks of person engines, and {spec.name} is a face engine"
        )
    made = make_backend(backend, spec, threads, patient=False)
    if is_face:
        with (
            FaceParser(made) as parser,
            open_finder(DEFAULT_FACE_MESH, engines, backend, threads) as finder,
        ):
            yield lambda image: face_mask(parser, finder, image, kind or "labels")
    else:
        with Matter(made) as matter:
            yield lambda image: picture_mask(
                matter, image, None if kind else 0.5 if threshold is None else threshold
            )


@contextmanager
def open_landmarks(
    engine: str,
    engines: tuple[Path, ...],
    backend: str,
    threads: int,
    suffixes: Sequence[str],
) -> Iterator[Callable[[NDArray[np.uint8]], dict[str, bytes]]]:
    """What makes the files of a picture's faces, by suffix: ".json" their points, ".png" the
    picture with their outlines.

    Args:
        engine: a mesh, or AUTO_ENGINE; see `open_finder`, and so for the rest.
        engines: folders.
        backend: its name.
        threads: on a CPU.
        suffixes: of the files that are wanted.

    Raises:
        UsageError: unknown engine or backend, or the engine is no mesh.
        EngineError: a damaged file.
    """
    name = DEFAULT_FACE_MESH if engine == AUTO_ENGINE else engine
    with open_finder(name, engines, backend, threads) as finder:

        def files_of(image: NDArray[np.uint8]) -> dict[str, bytes]:
            faces = finder.meshes_of(image)
            files = {}
            if ".json" in suffixes:
                files[".json"] = f"{json.dumps(landmarks(image, faces))}\n".encode()
            if ".png" in suffixes:
                files[".png"] = _png(overlay(image, faces))
            return files

        yield files_of
