"""The work of `vcam mask`: masks of pictures, and films of masks."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import typer

from vcam.assemble import RunRequest
from vcam.batch import Batch, Item, Skipped, find_files, is_batch
from vcam.cli.display import progress
from vcam.cli.files import DAMAGED, StoppedBy, announce, count
from vcam.cli.options import OUTLINES
from vcam.effects.matte import MatteFilm
from vcam.errors import SourceError, UsageError
from vcam.masks import (
    PALETTES,
    MaskKind,
    Trouble,
    check_names,
    open_landmarks,
    open_masks,
    write_legend,
    write_masks,
)
from vcam.sources import is_picture

FILM_SUFFIXES = ("mp4", "mkv", "mov", "webm")
_ALPHA_FILMS = ("mov", "webm")


@dataclass(frozen=True, slots=True)
class MaskRequest:
    """The options of `vcam mask`. landmarks, outlines: files about faces instead of masks. film:
    the suffix of films of masks. what: appended to the stem of each name.
    """

    sources: tuple[str, ...]
    out: Path
    kind: MaskKind
    landmarks: bool
    outlines: bool
    film: str
    what: str
    recursive: bool
    overwrite: bool
    engine: str
    engines: tuple[Path, ...]
    backend: str
    threads: int


def kind_of(
    labels: bool, palette: str | None, heatmap: str | None, threshold: float | None, overlay: str
) -> MaskKind:
    """Determine the kind of mask from the options.

    Raises:
        UsageError: they contradict each other, or a value is invalid.
    """
    named = {"--labels": labels, "--palette": palette is not None, "--heatmap": heatmap is not None}
    if overlay == OUTLINES:
        named["--overlay"] = True
    if len(given := [name for name, on in named.items() if on]) > 1:
        raise UsageError(f"{' and '.join(given)} are different masks of one name; give one of them")
    if palette is not None and palette not in PALETTES:
        raise UsageError(f"--palette {palette}: unknown; known: {', '.join(PALETTES)}")
    if threshold is not None and (labels or palette is not None):
        raise UsageError("--threshold cuts the mask of one class; say which: --heatmap CLASS")
    kind = "labels" if labels else "palette" if palette is not None else heatmap
    return MaskKind(kind, threshold, palette or "vcam", _opacity(overlay))


def _opacity(text: str) -> float | None:
    if text in ("", OUTLINES):
        return None
    try:
        opacity = float(text)
    except ValueError:
        opacity = -1.0
    if not 0 <= opacity <= 1:
        raise UsageError(f"--overlay {text}: write a number from 0 to 1, for instance 0.5")
    return opacity


def run_masks(request: MaskRequest, stopped_by: StoppedBy) -> None:
    """Make the masks.

    Raises:
        typer.Exit: some pictures or films were unreadable; the status is `DAMAGED`.
        VcamError: no mask can be made.
    """
    start_s = time.monotonic()
    pictures, films, skipped = _found(request)
    for why in skipped:
        print(f"vcam: skipped {why}", file=sys.stderr)
    if films and (request.landmarks or request.outlines or request.kind.kind == "labels"):
        raise UsageError(f"{films[0].source}: films have masks of people only; leave it out")
    troubles: list[Trouble | Skipped] = [Trouble(why) for why in skipped]
    if pictures:
        check_names(pictures, request.what)
        troubles += _pictures(request, pictures)
    if films:
        troubles += _films(request, films, stopped_by)
    damaged = sum(trouble.is_made for trouble in troubles)
    missed = len(troubles) - damaged
    done = len(pictures) + len(films) + len(skipped) - missed
    seconds = time.monotonic() - start_s
    left = (f"; {missed} skipped" if missed else "") + (f"; {damaged} damaged" if damaged else "")
    announce(f"{count(done, 'mask')} in {request.out}, {seconds:.1f} s{left}")
    if troubles:
        raise typer.Exit(DAMAGED if done > 0 else 1)


def _found(request: MaskRequest) -> tuple[dict[Path, Path], list[Item], list[str]]:
    """Pictures with the paths of their masks, films, and unreadable files."""
    pictures: dict[Path, Path] = {}
    films: list[Item] = []
    skipped: list[str] = []
    for text in request.sources:
        pairs = [(Path(text), Path(Path(text).name))]
        if is_batch(text):
            pairs = find_files(text, request.recursive, but_not=request.out)
        for path, inside in pairs:
            try:
                is_still = is_picture(path)
            except SourceError as error:
                skipped.append(str(error))
                continue
            if is_still:
                pictures[path] = inside
            else:
                name = f"{inside.stem}{request.what}.{request.film}"
                films.append(Item(path, request.out / inside.with_name(name), is_picture=False))
    return pictures, films, skipped


def _pictures(request: MaskRequest, pictures: dict[Path, Path]) -> list[Trouble]:
    """Process the pictures; return what was unreadable or incomplete."""
    troubles: list[Trouble] = []
    about = (request.engine, request.engines, request.backend, request.threads)
    faces = request.landmarks or request.outlines
    suffixes = [".json"] * request.landmarks + [".png"] * (request.outlines or not faces)
    with (
        open_landmarks(*about, suffixes) if faces else open_masks(*about, request.kind) as mask_of,
        progress("masks", len(pictures)) as step,
    ):
        made = write_masks(
            mask_of,
            list(pictures),
            request.out,
            request.overwrite,
            suffixes,
            pictures,
            request.what,
        )
        for _, trouble in made:
            step(1)
            if trouble is not None:
                troubles.append(trouble)
                _say(trouble)
    if request.kind.kind == "palette" and sum(not x.is_made for x in troubles) < len(pictures):
        write_legend(request.out, request.kind.palette)
    return troubles


def _films(request: MaskRequest, films: list[Item], stopped_by: StoppedBy) -> list[Skipped]:
    """Process the films; return those that were unreadable or incomplete."""
    kind = request.kind
    with_alpha = request.film in _ALPHA_FILMS and kind.overlay is None
    run = RunRequest(
        source="",
        sink="",
        effects=("remove",) if with_alpha else (),
        engine=request.engine,
        engines=request.engines,
        backend=request.backend,
        threads=request.threads,
        overwrite=request.overwrite,
        sound=False,
    )
    if kind.kind not in (None, "person") or (with_alpha and kind.threshold is not None):
        raise UsageError(
            f"{films[0].source}: films have masks of people only, soft if they have alpha;"
            " leave out other options"
        )
    own = None if with_alpha else [MatteFilm(kind.threshold, kind.overlay)]
    batch = Batch(run, films, own)
    troubles: list[Skipped] = []
    with stopped_by(batch.stop), progress("films", len(films)) as step:
        for _, trouble in batch.run():
            step(1)
            if trouble is not None:
                troubles.append(trouble)
                _say(trouble)
    return troubles


def _say(trouble: Trouble | Skipped) -> None:
    skipped = "" if trouble.is_made else "skipped "
    print(f"vcam: {skipped}{trouble.why}", file=sys.stderr)
