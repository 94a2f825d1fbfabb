"""The settings file during a run: profiles, saving, and applying
changes.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcam.config import Known, read_defaults
from vcam.control.wanted import SETTINGS, Wanted, wanted_of
from vcam.errors import UsageError, VcamError
from vcam.files import write_whole
from vcam.toml_file import TomlError, read_toml

if TYPE_CHECKING:
    from vcam.control.control import Control

_log = logging.getLogger(__name__)
_LOOK_S = 1.0

Options = Mapping[str, Any]
"""Options of `vcam run`, by name."""
_LIVE = ("effect", "source", "engine", "mirror", "grow", "feather")
"""Options that can change during a run."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings file of a run.

    path: of the file, which may be missing. read: returns its options for `vcam run` with a
    profile, or None for none; raises UsageError. fixed: options from the command line or the
    environment, which override the file. profile: the run's initial profile.
    """

    path: Path
    read: Callable[[str | None], Options]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    profile: str | None = None

    def profiles(self) -> list[str]:
        """Names of the profiles, in the order of the file.

        Raises:
            UsageError: the file cannot be read.
        """
        return list(_tables(self.path).get("profile", {}))

    def changes_to(self, name: str) -> dict[str, object]:
        """The changes that apply a profile to a run; options that cannot change during a run are
        left out.

        Raises:
            UsageError: there is no such profile, or the file is invalid.
        """
        return _changes(self.read(name))

    def save(self, name: str | None, wanted: Wanted) -> Path:
        """Save the state of a run to a profile, or to [run] without a name; the rest of the file is
        kept.

        Raises:
            UsageError: the name is invalid, or the file is invalid or not writable.
        """
        import tomlkit
        from tomlkit.exceptions import TOMLKitError

        if name is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name):
            raise UsageError(
                f"profile {name!r}: use up to 40 letters, digits, - and _, for instance meeting"
            )
        try:
            text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
            document = tomlkit.parse(text)
        except (OSError, UnicodeDecodeError, TOMLKitError) as error:
            raise UsageError(
                f"{self.path}: not readable ({error}); see `vcam config check`"
            ) from error
        table: Any = document
        for word in ("profile", name, "run") if name is not None else ("run",):
            if word not in table:
                table[word] = tomlkit.table(is_super_table=word != "run")
            table = table[word]
        for key, value in wanted.options().items():
            is_default = key in SETTINGS and value == SETTINGS[key].default
            if is_default and key not in table and name is None:
                continue
            table[key] = value
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            mode = self.path.stat().st_mode & 0o777 if self.path.exists() else 0o644
            write_whole(self.path.resolve(), tomlkit.dumps(document), mode)
        except OSError as error:
            raise UsageError(
                f"{self.path}: {error.strerror}; see that it can be written to"
            ) from error
        return self.path

    def check(self) -> None:
        """Validate the file with every profile, including names and values of effects.

        Raises:
            UsageError: it is invalid; the message contains the line and key if known.
        """
        try:
            for name in (None, *self.profiles()):
                _changes(self.read(name))
        except UsageError as error:
            raise UsageError(located(self.path, str(error))) from error

    def at(self, path: Path, known: Known) -> Settings:
        """The same settings from another file."""
        return replace(
            self, path=path, read=lambda name: read_defaults(path, name, known).get("run", {})
        )

    def live(self) -> dict[str, object]:
        """The options that the file, overridden by the command line, gives a run now.

        Raises:
            UsageError: the file is invalid.
        """
        return _changes({**self.read(self.profile), **self.fixed})


def _changes(options: Options) -> dict[str, object]:
    said = wanted_of({key: value for key, value in options.items() if key in _LIVE})
    changes: dict[str, object] = (
        {"effects": [worn.text for worn in said.effects]} if "effect" in options else {}
    )
    return {
        **changes,
        **{key: getattr(said, key) for key in _LIVE if key != "effect" and key in options},
    }


class Watch:
    """Detects changes of the settings file. Used by one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stamp = self._stamped()
        self._said: dict[str, object] | None = None
        try:
            self._said = settings.live()
        except VcamError:  # the run started with earlier, valid settings
            self._said = None

    def look(self) -> dict[str, object] | None:
        """Return the changes of a run since the last call; None if the file is unchanged.

        Raises:
            UsageError: the file is invalid; the message contains the line and key.
        """
        stamp = self._stamped()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            now = self._settings.live()
        except UsageError as error:
            raise UsageError(located(self._settings.path, str(error))) from error
        before, self._said = self._said or {}, now
        defaults = {
            "effects": ["blur"],
            **{key: SETTINGS[key].default for key in _LIVE if key != "effect"},
        }
        gone = {key: defaults[key] for key in before if key not in now}
        return {**gone, **{key: value for key, value in now.items() if before.get(key) != value}}

    def _stamped(self) -> tuple[int, int, int]:
        try:
            found = self._settings.path.stat()
        except OSError:
            return 0, 0, 0
        return found.st_mtime_ns, found.st_size, found.st_ino


class Reloader:
    """Applies changes of the settings file to a run; called by the pipeline's ticks.

    An invalid file changes nothing: the run keeps its settings, and reports the error.
    """

    def __init__(self, settings: Settings, control: Control) -> None:
        self._watch, self._control = Watch(settings), control
        self._due_s = 0.0

    def tick(self) -> None:
        """Check about once a second."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        self._due_s = now_s + _LOOK_S
        try:
            changes = self._watch.look()
            if changes:
                self._control.set(changes)
        except VcamError as error:
            _log.warning("settings file: %s; the previous settings stay in effect", error)
            self._control.say_settings(str(error))
        else:
            if changes is not None:
                self._control.say_settings("", list(changes))


def located(path: Path, message: str) -> str:
    """Add the line number to the message, if the key or value occurs once in the file."""
    if re.search(r"at line \d+", message):
        return message
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return message
    for word in re.findall(r"'([^']{1,80})'", message):
        near = rf"(?<![\w-]){re.escape(word.rpartition('.')[2])}(?![\w-])"
        found = [
            number
            for number, line in enumerate(lines, 1)
            if re.search(near, line.partition(" #")[0])
        ]
        if len(found) == 1:
            return (
                message.replace(f"{path}: ", f"{path}:{found[0]}: ")
                if f"{path}: " in message
                else (f"{path}:{found[0]}: {message}")
            )
    return message if str(path) in message else f"{path}: {message}"


def _tables(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return read_toml(path)
    except (OSError, TomlError) as error:
        raise UsageError(f"{path}: not readable ({error}); see `vcam config check`") from error
