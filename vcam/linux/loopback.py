"""The settings files that load v4l2loopback at every start: what is in them, and how to write them.

Formats: modprobe.d(5) and modules-load.d(5). Arrays of the module have an entry per device.
"""

from __future__ import annotations

import difflib
import shlex
from dataclasses import dataclass
from pathlib import Path

from vcam.errors import UsageError
from vcam.files import entries, write_whole

MODULE = "v4l2loopback"
OPTIONS_FILE = Path("etc/modprobe.d/vcam.conf")
LOAD_FILE = Path("etc/modules-load.d/vcam.conf")
_FOLDERS = ("etc", "run", "usr/local/lib", "usr/lib", "lib")
"""Where settings of the system are; one of a name hides those of that name in later folders."""

_LABEL_BYTES = 31
"""`card_label[32]` of v4l2loopback, with the zero at its end."""
_MOST_DEVICES = 8
"""MAX_DEVICES of v4l2loopback."""
_MOST_NUMBER = 255


@dataclass(frozen=True, slots=True)
class Loopback:
    """The virtual cameras to make: one for each label, their nodes numbered from `number` on."""

    labels: tuple[str, ...] = ("vcam",)
    number: int = 10

    def check(self) -> None:
        """Raise where the module would not take this.

        Raises:
            UsageError: too many devices, a number that no node can have, or a label that cannot be
                written down.
        """
        count = len(self.labels)
        if not 1 <= count <= _MOST_DEVICES:
            raise UsageError(
                f"{count} virtual cameras: v4l2loopback makes 1 to {_MOST_DEVICES}; see --devices"
            )
        if not 0 <= self.number <= _MOST_NUMBER + 1 - count:
            raise UsageError(
                f"--number {self.number}: /dev/video numbers go from 0 to {_MOST_NUMBER}; try 10"
            )
        for label in self.labels:
            if not label or not label.isprintable() or set(label) & set("\"'\\,#$`"):
                raise UsageError(
                    f"--label {label!r}: letters, digits and spaces only, please; for instance vcam"
                )
            if len(label.encode()) > _LABEL_BYTES:
                raise UsageError(
                    f"--label {label!r}: longer than {_LABEL_BYTES} bytes, which the module"
                    " cuts off"
                )

    @property
    def options(self) -> str:
        """The options of the module, as modprobe takes them from its files and from a shell."""
        count = len(self.labels)
        numbers = ",".join(str(self.number + i) for i in range(count))
        labels = ",".join(self.labels)
        quoted = f'"{labels}"' if " " in labels else labels
        return (
            f"devices={count} video_nr={numbers} card_label={quoted}"
            f" exclusive_caps={','.join('1' * count)}"
        )

    @property
    def load_command(self) -> str:
        """Loads the module with these options now; for root."""
        options = self.options
        if '"' in options:  # the quotes are for the module, not for the shell
            options = " ".join(shlex.quote(word) for word in shlex.split(options))
        return f"modprobe {MODULE} {options}"

    def files(self) -> dict[Path, str]:
        """The text of each settings file, by its path below the root folder."""
        head = "# Virtual cameras for vcam; written by `vcam setup`.\n"
        return {
            OPTIONS_FILE: f"{head}options {MODULE} {self.options}\n",
            LOAD_FILE: f"{head}{MODULE}\n",
        }


def write_files(files: dict[Path, str], root: Path, overwrite: bool = False) -> list[Path]:
    """Write settings files, each whole or not at all; those that are right already are left alone.

    Args:
        files: text by path below `root`.
        root: "/", or the root of a disk image.
        overwrite: replace a file that says something else.

    Returns:
        What was written.

    Raises:
        UsageError: a file says something else and `overwrite` is not set (then nothing is written),
            or a folder cannot be written to.
    """
    wanted = {root / path: text for path, text in files.items()}
    changed = {path: text for path, text in wanted.items() if _text(path) != text}
    differing = [path for path in changed if _text(path)]
    if differing and not overwrite:
        lines = "; ".join(_difference(_text(path), changed[path]) for path in differing)
        names = ", ".join(map(str, differing))
        raise UsageError(
            f"{names} would change ({lines}): nothing was written; add --overwrite if that is"
            " wanted"
        )
    for path in changed:
        if not path.parent.resolve().is_relative_to(root.resolve()):
            raise UsageError(f"{path}: a link on the way leads out of {root}; nothing was written")
    for path, text in changed.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text, 0o644)
        except OSError as error:
            raise UsageError(
                f"{path}: {error.strerror}; run it as root, or copy what is printed without --write"
            ) from error
    return list(changed)


def read_options(root: Path) -> dict[str, tuple[str, Path]]:
    """The options that modprobe would load v4l2loopback with, each with the file that says so.

    As modprobe.d(5) has it: files are read in the order of their names, whatever their folder; one
    of the same name in an earlier folder hides those in later ones; of several values the last
    holds.
    """
    found: dict[str, tuple[str, Path]] = {}
    for path in _conf_files(root, "modprobe.d"):
        for line in _text(path).replace("\\\n", " ").splitlines():
            words = _words(line)
            if words[:2] == ["options", MODULE]:
                for word in words[2:]:
                    name, _, value = word.partition("=")
                    found[name] = (value, path)
    return found


def loads_at_start(root: Path) -> Path | None:
    """The file that has v4l2loopback loaded when the computer starts, or None."""
    for path in (*_conf_files(root, "modules-load.d"), root / "etc/modules"):
        if any(_words(line)[:1] == [MODULE] for line in _text(path).splitlines()):
            return path
    return None


def _conf_files(root: Path, kind: str) -> list[Path]:
    found: dict[str, Path] = {}
    for folder in _FOLDERS:
        for path in entries(root / folder / kind, "*.conf"):
            found.setdefault(path.name, path)
    return [found[name] for name in sorted(found)]


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # a quote without its end
        return line.split()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _difference(old: str, new: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    return " | ".join(line for line in lines if line[:1] in "+-" and line[:3] not in {"+++", "---"})
