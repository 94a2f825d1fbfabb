"""The configuration files that load v4l2loopback at boot: content and installation.

Formats: modprobe.d(5) and modules-load.d(5). Array options of the module have one value per device.
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
"""Configuration folders; a file hides files of the same name in later folders."""

_LABEL_BYTES = 31
"""`card_label[32]` of v4l2loopback, with the zero at its end."""
_MOST_DEVICES = 8
"""MAX_DEVICES of v4l2loopback."""
_MOST_NUMBER = 255


@dataclass(frozen=True, slots=True)
class Loopback:
    """The virtual cameras to create: one per label, with consecutive node numbers from `number`."""

    labels: tuple[str, ...] = ("vcam",)
    number: int = 10

    def check(self) -> None:
        """Make sure that the module accepts these options.

        Raises:
            UsageError: too many devices, an impossible node number, or a label that cannot be
                written to the file.
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
        """The module's options, in the syntax that both modprobe and a shell accept."""
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
        """The command that loads the module with these options now; needs root."""
        options = self.options
        if '"' in options:  # the quotes are for the module, not for the shell
            options = " ".join(shlex.quote(word) for word in shlex.split(options))
        return f"modprobe {MODULE} {options}"

    def files(self) -> dict[Path, str]:
        """The content of each file, by its path below the root folder."""
        head = "# Virtual cameras for vcam; written by `vcam setup`.\n"
        return {
            OPTIONS_FILE: f"{head}options {MODULE} {self.options}\n",
            LOAD_FILE: f"{head}{MODULE}\n",
        }


def write_files(files: dict[Path, str], root: Path, overwrite: bool = False) -> list[Path]:
    """Write files, each completely or not at all; unchanged ones are left alone.

    Args:
        files: text by path below `root`.
        root: "/", or the root of a disk image.
        overwrite: replace files with other content.

    Returns:
        The written files.

    Raises:
        UsageError: a file has other content and `overwrite` is not set (then nothing is written),
            or a folder is not writable.
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
    """The options with which modprobe would load v4l2loopback, each with its file.

    Rules of modprobe.d(5): files are read in alphabetical order, regardless of their folder; a file
    hides those of the same name in later folders; the last of several values
    applies.
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
    """The file that loads v4l2loopback at boot, or None."""
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
    except ValueError:  # an unclosed quote
        return line.split()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _difference(old: str, new: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    return " | ".join(line for line in lines if line[:1] in "+-" and line[:3] not in {"+++", "---"})
