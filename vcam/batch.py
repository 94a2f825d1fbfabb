"""Many files, one after the other: what is in folders and behind patterns, and where it goes."""

from __future__ import annotations

import glob
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vcam.assemble import RunRequest, build_run
from vcam.effects.base import Effect
from vcam.errors import SourceError, StageError, UsageError
from vcam.files import check_target, is_folder, reason
from vcam.pictures import ALPHA_SUFFIXES, HEIF_SUFFIXES, PICTURE_SUFFIXES
from vcam.pipeline.pipeline import Pipeline
from vcam.sources import is_picture
from vcam.sources.inspect_file import looks_like_media

FILM_SUFFIXES = (".mp4", ".mkv", ".mov", ".webm")
_SYSTEM_FILES = {"thumbs.db", "desktop.ini"}
_PATTERN = "*?["


@dataclass(frozen=True, slots=True)
class Item:
    """One file of a batch. target: what is made of it. is_picture: it is still."""

    source: Path
    target: Path
    is_picture: bool


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file of which nothing, or not all, was made. why: one line. is_made: there is a target."""

    source: Path
    why: str
    is_made: bool = False


def is_batch(text: str) -> bool:
    """Whether a name means many files: a folder, or a pattern such as holiday/*.jpg."""
    try:
        if is_folder(Path(text)):
            return True
        is_pattern = any(mark in text for mark in _PATTERN) and "://" not in text
        return is_pattern and not Path(text).exists()
    except (OSError, ValueError):
        return False


def find_files(text: str, recursive: bool, but_not: Path | None = None) -> list[tuple[Path, Path]]:
    """The files that a folder or pattern means, in the order of their names, each with its path
    inside of the folder.

    Of a folder, only what is called or looks like a picture or film is meant. Hidden files, those
    that systems put into folders, and folders without `recursive` are left out.

    Args:
        text: the folder or pattern; `**` in a pattern is any depth.
        recursive: look into the folders of a folder too.
        but_not: a folder that is left out, because results go there.

    Raises:
        UsageError: there is no such file.
    """
    folder = Path(text)
    if folder.is_dir():
        found = folder.rglob("*") if recursive else folder.iterdir()
        pairs = [(path, path.relative_to(folder)) for path in found if looks_like_media(path)]
    else:
        names = glob.glob(text, recursive=True)  # noqa: PTH207 - a pattern may be absolute
        pairs = [(Path(name), Path(Path(name).name)) for name in names]
    out = None if but_not is None else but_not.resolve()
    files = [
        (path, inside)
        for path, inside in pairs
        if not any(part.startswith(".") for part in inside.parts)
        and path.name.lower() not in _SYSTEM_FILES
        and path.is_file()
        and (out is None or out == folder.resolve() or out not in path.resolve().parents)
    ]
    if not files:
        hint = "" if recursive or not folder.is_dir() else "; --recursive looks into its folders"
        raise UsageError(f"{text}: no pictures or films there{hint}")
    return sorted(files)


def plan(request: RunRequest, recursive: bool) -> tuple[list[Item], list[Skipped]]:
    """What `--source FOLDER --sink FOLDER` is to do, and the files that cannot be read at all.

    Names are kept; a file of a kind that is not written gets another suffix behind its stem, or
    behind its name where two would be one.

    Raises:
        UsageError: the sink is no folder, a result exists already, or there are no files.
    """
    out = Path(request.sink.removeprefix("png:"))
    if out.is_file() or (out.suffix and not out.is_dir() and not request.sink.endswith("/")):
        raise UsageError(
            f"--sink {request.sink}: many files need a folder; write for instance --sink out/"
        )
    with_alpha = any(effect.partition(":")[0] == "remove" for effect in request.effects)
    items: list[Item] = []
    skipped: list[Skipped] = []
    taken: set[Path] = set()
    found = find_files(request.source, recursive, but_not=out)
    kept = {out / inside for _, inside in found}
    for path, inside in found:
        try:
            picture = is_picture(path)
        except SourceError as error:
            skipped.append(Skipped(path, str(error)))
            continue
        target = _target(out / inside, picture, with_alpha)
        if target in taken or (target != out / inside and target in kept):
            target = (out / inside).with_name(inside.name + target.suffix)
        taken.add(target)
        items.append(Item(path, target, picture))
    _check(items, request.overwrite)
    return items, skipped


def _target(path: Path, is_a_picture: bool, with_alpha: bool) -> Path:
    suffix = path.suffix.lower()
    if not is_a_picture:
        keeps = suffix in ((".mov", ".webm") if with_alpha else FILM_SUFFIXES)
        return path if keeps else path.with_suffix(".webm" if with_alpha else ".mp4")
    keeps = suffix in (*PICTURE_SUFFIXES, *HEIF_SUFFIXES)
    if keeps and with_alpha:
        keeps = suffix in ALPHA_SUFFIXES
    return path if keeps else path.with_suffix(".jpg" if suffix == ".jfif" else ".png")


def _check(items: Sequence[Item], overwrite: bool) -> None:
    """Refuse before any work what would replace a source or an earlier result."""
    sources = {item.source.resolve() for item in items}
    for item in items:
        if item.target.resolve() in sources:
            raise UsageError(
                f"{item.target} is one of the sources and would be replaced; name another folder"
                " with --sink"
            )
        try:
            if item.target.parent.is_dir():
                check_target(item.target, overwrite)
        except OSError as error:
            raise UsageError(f"{item.target}: {reason(error)}") from error


class Batch:
    """One run for each file, one after the other.

    Args:
        request: of every run; its source and sink are replaced.
        items: the files.
        effects: instead of the request's; used by one run after the other.
    """

    def __init__(
        self,
        request: RunRequest,
        items: Sequence[Item],
        effects: Sequence[Effect] | None = None,
    ) -> None:
        self._request, self._items, self._effects = request, items, effects
        self._stop = threading.Event()
        self._pipeline: Pipeline | None = None

    def stop(self) -> None:
        """End the file under way in order, and begin no other. Safe in signal handlers."""
        self._stop.set()
        if self._pipeline is not None:
            self._pipeline.stop()

    def run(self) -> Iterator[tuple[Item, Skipped | None]]:
        """Make the files; yield each with what went wrong with it, if anything.

        Raises:
            VcamError: nothing further would succeed either: the engine, an effect or the folder
                fails.
        """
        for item in self._items:
            if self._stop.is_set():
                return
            yield item, self._run_one(item)

    def _run_one(self, item: Item) -> Skipped | None:
        try:
            item.target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{item.target.parent}: {reason(error)}") from error
        kind = "image" if item.is_picture else "file"
        own = replace(self._request, source=f"{kind}:{item.source}", sink=str(item.target))
        try:
            self._pipeline, _ = build_run(own, own_effects=self._effects)
            self._pipeline.run()
        except SourceError as error:
            return Skipped(item.source, str(error))
        except StageError as error:
            if isinstance(error.__cause__, SourceError):
                return Skipped(item.source, str(error.__cause__))
            raise
        damage = self._pipeline.damage
        return Skipped(item.source, damage, is_made=True) if damage else None
