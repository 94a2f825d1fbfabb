"""Masks of pictures and films, written to files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
from vcam.effects.matte import OVERLAY_COLOR, cut
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

CLASS_NAMES = tuple(member.name.lower().replace("_", "-") for member in FaceClass)
"""User names of a face engine's classes."""
FACE = "face"
"""All classes that belong to a face: skin, brows, eyes, lips and teeth."""
_OWN_PALETTE = (
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
PALETTES = {
    "vcam": _OWN_PALETTE,
    # The colours in the figures of the EasyPortrait dataset (arXiv:2304.13509, class
    # EasyPortraitDataset of github.com/hukenovs/easyportrait).
    "easyportrait": (
        (0, 0, 0),
        (223, 87, 188),
        (160, 221, 255),
        (130, 106, 237),
        (200, 121, 255),
        (255, 183, 255),
        (0, 144, 193),
        (113, 137, 255),
        (230, 232, 230),
    ),
}
"""R, G, B of each class in order, by palette name."""


@dataclass(frozen=True, slots=True)
class MaskKind:
    """The kind of mask.

    kind: "labels", "palette", the name of a class, or FACE; None: people, or the labels.
    threshold: 0..1, the least share of a pixel that counts as the class; None: soft values for a
        named class, else 0.5.
    palette: a name in `PALETTES`.
    overlay: 0..1, opacity of the mask's colours over the picture; None: the mask alone.
    """

    kind: str | None = None
    threshold: float | None = None
    palette: str = "vcam"
    overlay: float | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a picture could not be read, or not whole. is_made: it has a mask all the same."""

    why: str
    is_made: bool = False


def check_names(pictures: Mapping[Path, Path], what: str = "") -> None:
    """Refuse pictures whose masks would get the same name.

    Args:
        pictures: each with its path relative to the folder of masks.
        what: appended to the stem.

    Raises:
        UsageError: two names collide.
    """
    seen: dict[Path, Path] = {}
    for picture, inside in pictures.items():
        name = inside.with_name(f"{inside.stem}{what}.png")
        if (other := seen.setdefault(name, picture)) != picture:
            raise UsageError(
                f"{other} and {picture} would both become {name}; give them separately"
            )


def picture_alpha(matter: Matter, image: NDArray[np.uint8]) -> Plane:
    """Compute the alpha uint8 [H, W], 0 room .. 255 person, of one uint8 [H, W, 3] RGB picture, at
    the picture's size.

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


def person_mask(matter: Matter, image: NDArray[np.uint8], kind: MaskKind) -> NDArray[np.uint8]:
    """Find the people in a picture: uint8 [H, W], or [H, W, 3] RGB with an overlay, at its size.

    Raises:
        EngineError: the engine failed.
    """
    threshold = 0.5 if kind.kind is None and kind.threshold is None else kind.threshold
    alpha = cut(picture_alpha(matter, image), threshold)
    return alpha if kind.overlay is None else _laid(image, alpha, OVERLAY_COLOR, kind.overlay)


def face_mask(
    parser: Parser, finder: FaceFinder, image: NDArray[np.uint8], kind: MaskKind
) -> NDArray[np.uint8]:
    """Find the face classes in a picture, at its size.

    Args:
        parser: open.
        finder: open.
        image: uint8 [H, W, 3] RGB.
        kind: labels: uint8 [H, W], the number of the most likely FaceClass; palette, or any kind
            with an overlay: uint8 [H, W, 3] RGB; a class: uint8 [H, W], its probability, 0..255.

    Raises:
        EngineError: the engine failed.
    """
    probs = picture_probs(parser, finder, image)
    colours = np.array(PALETTES[kind.palette], np.uint8)
    if kind.kind == FACE:
        parts = probs[FaceClass.SKIN :].sum(axis=0, dtype=np.uint16)
        plane = np.minimum(parts, 255).astype(np.uint8)
        colour = PALETTES[kind.palette][FaceClass.SKIN]
    elif kind.kind in CLASS_NAMES:
        number = CLASS_NAMES.index(kind.kind)
        plane, colour = np.asarray(probs[number], np.uint8), PALETTES[kind.palette][number]
    else:
        labels = np.asarray(probs.argmax(axis=0), np.uint8)
        if kind.overlay is not None:
            weight = np.where(labels > 0, 255, 0).astype(np.uint8)
            return _laid(image, weight, colours[labels], kind.overlay)
        return np.asarray(colours[labels]) if kind.kind == "palette" else labels
    plane = cut(plane, kind.threshold)
    return plane if kind.overlay is None else _laid(image, plane, colour, kind.overlay)


def _laid(
    image: NDArray[np.uint8],
    weight: Plane,
    colour: NDArray[np.uint8] | tuple[int, int, int],
    opacity: float,
) -> NDArray[np.uint8]:
    """Lay a colour, or one per pixel, over a picture with opacity `weight`: uint8 [H, W, 3]."""
    share = weight[..., None].astype(np.float32) * (opacity / 255)
    mixed = image + (np.asarray(colour, np.float32) - image) * share
    return np.asarray(np.rint(mixed), np.uint8)


def legend(palette: str) -> NDArray[np.uint8]:
    """Draw the colour, number and name of each class: uint8 [H, W, 3] RGB."""
    row, width = 28, 220
    drawn = np.full((row * len(CLASS_NAMES) + 8, width, 3), 255, np.uint8)
    for number, (name, colour) in enumerate(zip(CLASS_NAMES, PALETTES[palette], strict=True)):
        top = 4 + row * number
        cv2.rectangle(drawn, (8, top + 4), (40, top + row - 4), colour, cv2.FILLED)
        cv2.rectangle(drawn, (8, top + 4), (40, top + row - 4), (90, 90, 90), 1)
        place = (52, top + row - 9)
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(drawn, f"{number} {name}", place, font, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return drawn


def write_masks(
    mask_of: Callable[[NDArray[np.uint8]], NDArray[np.uint8] | dict[str, bytes]],
    pictures: Sequence[Path],
    out: Path,
    overwrite: bool = False,
    suffixes: Sequence[str] = (".png",),
    inside: Mapping[Path, Path] | None = None,
    what: str = "",
) -> Iterator[tuple[Path, Trouble | None]]:
    """Write `<stem>.png`, 8 bits, for each picture; yield the picture with what went wrong with it,
    if anything.

    Args:
        mask_of: maps a picture uint8 [H, W, 3] RGB to the mask, grey or RGB, or to the bytes of
            files by suffix.
        pictures: to read.
        out: a folder; created if missing.
        overwrite: replace existing masks.
        suffixes: of the files that `mask_of` returns.
        inside: the path of each picture's mask relative to `out`; None: directly in `out`.
        what: appended to the stem of each name.

    Raises:
        UsageError: a mask would replace one of the pictures, or already exists; nothing was
            written.
        SinkError: the folder is not writable, so no later mask would succeed.
        EngineError: the engine failed.
    """
    from vcam.errors import SourceError
    from vcam.pictures import srgb_of
    from vcam.sources.image import read_picture

    stems = {
        picture: out / (inside or {}).get(picture, Path(picture.name)).with_suffix("")
        for picture in pictures
    }
    for suffix in suffixes:
        _check_targets(stems, f"{what}{suffix}", overwrite)
    _make_folder(out)
    remove_leftovers(out)
    for picture in pictures:
        try:
            read = read_picture(picture)
        except SourceError as error:
            yield picture, Trouble(str(error))
            continue
        made = mask_of(srgb_of(read))
        files = made if isinstance(made, dict) else {".png": _png(made)}
        for suffix, data in files.items():
            stem = stems[picture]
            _make_folder(stem.parent)
            _write(stem.with_name(f"{stem.name}{what}{suffix}"), data, overwrite)
        yield picture, Trouble(read.damage, is_made=True) if read.damage else None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"{folder}: {error.strerror}; name another folder with --out") from error


def _check_targets(stems: Mapping[Path, Path], ending: str, overwrite: bool) -> None:
    """Refuse masks that would replace a picture or an earlier mask, before any work."""
    for picture, stem in stems.items():
        mask = stem.with_name(f"{stem.name}{ending}")
        if any(is_same_file(mask, other) for other in stems):
            raise UsageError(
                f"{picture}: its mask would replace it, or another picture; name another folder "
                f"with --out"
            )
        try:
            if mask.parent.is_dir():
                check_target(mask, overwrite)
        except OSError as error:
            raise UsageError(f"{mask}: {reason(error)}") from error


def write_legend(out: Path, palette: str) -> None:
    """Write `legend.png` beside coloured masks, replacing an earlier one.

    Raises:
        SinkError: it cannot be written.
    """
    _make_folder(out)
    _write(out / "legend.png", _png(legend(palette)), overwrite=True)


def _png(mask: NDArray[np.uint8]) -> bytes:
    """Encode uint8 [H, W], grey, or [H, W, 3] RGB, as PNG."""
    image = mask if mask.ndim == 2 else cv2.cvtColor(mask, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".png", image)[1].tobytes())


def _write(path: Path, data: bytes, overwrite: bool) -> None:
    """Write a file completely or not at all."""
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
    wanted: MaskKind,
) -> Iterator[Callable[[NDArray[np.uint8]], NDArray[np.uint8]]]:
    """Return the function that makes the mask of a picture uint8 [H, W, 3] RGB, with a person or
    face engine; see `open_matter`.

    wanted: the kind of mask.

    Raises:
        UsageError: the engine or backend is unknown, or the engine has no such mask.
        EngineError: the file is damaged.
    """
    if engine == AUTO_ENGINE:  # a picture has no deadline: take the best
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
    known = (*CLASS_NAMES, FACE, "labels", "palette") if is_face else ("person",)
    if is_face and len(spec.classes) < len(CLASS_NAMES):  # it has no class for the person
        known = tuple(name for name in known if name != "person")
    kind = wanted.kind
    if kind is not None and kind not in known:
        other = (
            "" if is_face else f"; more have face engines, such as --engine {DEFAULT_FACE_ENGINE}"
        )
        raise UsageError(f"{spec.name} has no mask {kind!r}; it has {', '.join(known)}{other}")
    if is_face and wanted.threshold is not None and kind in (None, "labels", "palette"):
        raise UsageError(
            f"--threshold cuts the mask of one class; say which of {spec.name}: --heatmap CLASS"
        )
    made = make_backend(backend, spec, threads, patient=False)
    if is_face:
        with (
            FaceParser(made) as parser,
            open_finder(DEFAULT_FACE_MESH, engines, backend, threads) as finder,
        ):
            yield lambda image: face_mask(parser, finder, image, wanted)
    else:
        with Matter(made) as matter:
            yield lambda image: person_mask(matter, image, wanted)


@contextmanager
def open_landmarks(
    engine: str,
    engines: tuple[Path, ...],
    backend: str,
    threads: int,
    suffixes: Sequence[str],
) -> Iterator[Callable[[NDArray[np.uint8]], dict[str, bytes]]]:
    """Return the function that makes the files of a picture's faces, by suffix: ".json" the
    points, ".png" the picture with outlines.

    Args:
        engine: a mesh, or AUTO_ENGINE; see `open_finder` for this and the rest.
        engines: folders.
        backend: its name.
        threads: on a CPU.
        suffixes: of the requested files.

    Raises:
        UsageError: the engine or backend is unknown, or the engine is not a mesh.
        EngineError: the file is damaged.
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
