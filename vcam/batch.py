"""Batches: find many files by folder or pattern, and process them one after another."""

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
    """One file of a batch. target: the result. is_picture: it is a still."""

    source: Path
    target: Path
    is_picture: bool


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file without a complete result. why: one line. is_made: the target was written."""

    source: Path
    why: str
    is_made: bool = False


def is_batch(text: str) -> bool:
    """Whether a name stands for many files: a folder, or a pattern such as holiday/*.jpg."""
    try:
        if is_folder(Path(text)):
            return True
        is_pattern = any(mark in text for mark in _PATTERN) and "://" not in text
        return is_pattern and not Path(text).exists()
    except (OSError, ValueError):
        return False


def find_files(text: str, recursive: bool, but_not: Path | None = None) -> list[tuple[Path, Path]]:
    """List the files of a folder or pattern, sorted by name, each with its path inside the
    folder.

    In a folder, only files that look like a picture or video are listed, by name or content.
    Hidden files, files that operating systems add, and subfolders without `recursive` are skipped.

    Args:
        text: the folder or pattern; `**` in a pattern matches any depth.
        recursive: search subfolders too.
        but_not: a folder to skip because results go there.

    Raises:
        UsageError: no file matches.
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
    """Plan `--source FOLDER --sink FOLDER`; also list the files that cannot be read at all.

    Names are kept; a result of another type gets its suffix after the stem, or after the whole
    name if two results would collide.

    Raises:
        UsageError: the sink is not a folder, a result already exists, or there are no files.
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
    """Refuse results that would replace a source or an earlier result, before any work."""
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
    """One run per file, one after another.

    Args:
        request: the options of each run; source and sink are replaced.
        items: the files.
        effects: replace the request's; each run in turn uses them.
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
        """Finish the current file early and start no other. Safe in signal handlers."""
        self._stop.set()
        if self._pipeline is not None:
            self._pipeline.stop()

    def run(self) -> Iterator[tuple[Item, Skipped | None]]:
        """Process the files; yield each with its failure, or None.

        Raises:
            VcamError: an engine, an effect or the folder fails, so no later file would succeed.
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
