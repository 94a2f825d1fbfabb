"""Fast commands for a running vcam, suitable for hotkeys.

No slow module is imported here: no picture library, no command-line library. The commands in `vcam
--help` use the same functions.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vcam.control.lines import ask
from vcam.effects import EFFECTS, all_effects
from vcam.errors import UsageError, VcamError


def try_quick(words: Sequence[str]) -> None:
    """Run one of these commands and end the process if the words match; else return."""
    if not words or words[0] not in _COMMANDS or any(word.startswith("-") for word in words[1:]):
        return
    try:
        line = _COMMANDS[words[0]](list(words[1:]))
    except _NotQuick:
        return
    except VcamError as error:
        print(f"vcam: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    sys.exit(_print(line) if line else 0)


def _print(line: str) -> int:
    """Print a line; return the exit status, which reports a failure."""
    try:
        print(line, flush=True)
    except (OSError, ValueError) as error:
        sys.stdout = None  # else Python retries at exit
        if not isinstance(error, BrokenPipeError):
            said = getattr(error, "strerror", None) or str(error)
            print(f"vcam: standard output: {said}; the answer is lost", file=sys.stderr)
        return 1
    return 0


def runtime_folder() -> Path:
    """The folder of running instances."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / "vcam"
    from vcam.service.instances import instances_folder

    return instances_folder(None)


class _NotQuick(Exception):  # noqa: N818 - a signal, not a failure
    """The words do not match; the full command line reports errors."""


def set_values(words: Sequence[str]) -> str:
    """Change the run by words such as "blur.strength=0.7"; return one line about its new state.

    Raises:
        UsageError: the words are invalid, or there is no run.
        VcamError: the run rejects the change.
    """
    changes: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"{word!r} is no change; write KEY=VALUE, such as blur.strength=0.7")
        changes[key] = _absolute(key, value)
    if not changes:
        raise UsageError("nothing to change; write KEY=VALUE, such as blur.strength=0.7 teeth=on")
    return line_of(ask(runtime_folder(), "set", changes=changes))


def pause(on: bool) -> str:
    """Pause or resume the run."""
    return line_of(ask(runtime_folder(), "set", changes={"paused": on}))


def toggle(key: str) -> str:
    """Toggle an effect, "mirror" or "paused"."""
    return line_of(ask(runtime_folder(), "toggle", key=key))


def snapshot(file: Path) -> str:
    """Write the next sent picture to a new PNG file."""
    if file.suffix.lower() != ".png":
        raise UsageError(f"{file}: a snapshot is a PNG picture; write {file.with_suffix('.png')}")
    data = base64.b64decode(ask(runtime_folder(), "snapshot"))
    from vcam.files import write_whole

    try:
        write_whole(file, data, 0o644, overwrite=False)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}; choose another name") from error
    return f"wrote {file}"


def stop() -> str:
    """Stop the run."""
    ask(runtime_folder(), "stop")
    return ""


def use_profile(name: str) -> str:
    """Apply a profile."""
    return line_of(ask(runtime_folder(), "use_profile", name=name))


def effects_on() -> dict[str, Any]:
    """Effects that are on in the running vcam, by name; none without a run."""
    try:
        wanted = ask(runtime_folder(), "about")["wanted"]
    except VcamError:
        return {}
    return {one["name"]: one for one in wanted["effects"] if one["on"]}


def list_effects() -> str:
    """List the effects, a line each; a star marks those that are on."""
    now = effects_on()
    lines = [
        f"{'*' if name in now else ' '} {name:<8} {spec.help}"
        for name, spec in all_effects().items()
    ]
    return "\n".join([*lines, *(["* is on"] if now else [])])


def line_of(wanted: dict[str, Any]) -> str:
    """Describe a run's state in one line."""
    on = [_effect(one) for one in wanted["effects"] if one["on"]]
    more = [word for word in ("mirror", "paused") if wanted[word]]
    return " ".join([*on, *more])


def _effect(one: dict[str, Any]) -> str:
    values = [f"{key}={_text(value)}" for key, value in one["values"].items()]
    return f"{one['name']}:{','.join(values)}" if values else str(one["name"])


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _absolute(key: str, value: str) -> str:
    """Resolve a file name relative to the command line's folder."""
    name, _, param = key.partition(".")
    spec = EFFECTS.get(name.rstrip("0123456789"))
    is_file = bool(spec and spec.params and spec.params[0].kind == "file")
    is_file = is_file and (param == "path" or (not param and value.lower() not in ("on", "off")))
    if is_file and not value.startswith("gallery:"):
        return str(Path(value).absolute())
    if key == "source" and Path(value).is_file():
        return str(Path(value).absolute())
    return value


def _one(words: list[str]) -> str:
    if len(words) != 1:
        raise _NotQuick
    return words[0]


def _none(words: list[str]) -> None:
    if words:
        raise _NotQuick


def _pause(words: list[str], on: bool) -> str:
    _none(words)
    return pause(on)


def _stop(words: list[str]) -> str:
    _none(words)
    return stop()


def _profile(words: list[str]) -> str:
    if len(words) != 2 or words[0] != "use":
        raise _NotQuick
    return use_profile(words[1])


def _effects(words: list[str]) -> str:
    _none(words)
    return list_effects()


def _set(words: list[str]) -> str:
    if not words:
        raise _NotQuick
    return set_values(words)


_COMMANDS = {
    "set": _set,
    "toggle": lambda words: toggle(_one(words)),
    "pause": lambda words: _pause(words, True),
    "resume": lambda words: _pause(words, False),
    "snapshot": lambda words: snapshot(Path(_one(words))),
    "stop": _stop,
    "profile": _profile,
    "effects": _effects,
}
