"""Settings files: a user's defaults and profiles, which flags and environment override.

The file is TOML, with one table of long option names per command; `[profile.NAME.COMMAND]` is the
table of a profile:

    [run]
    effect = ["blur:0.7"]

    [profile.meeting.run]
    effect = ["image:/home/me/office.jpg"]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from vcam.errors import UsageError
from vcam.toml_file import TomlError, read_toml

Defaults = dict[str, Any]
"""Option values by command and option name."""


@dataclass(frozen=True, slots=True)
class Known:
    """Allowed content of one table: options, each with whether it is repeatable, and subtables."""

    options: Mapping[str, bool]
    tables: Mapping[str, Known]


def config_file() -> Path:
    """Return the path of the user's settings file."""
    import platformdirs

    return Path(platformdirs.user_config_dir("vcam", appauthor=False)) / "config.toml"


def read_defaults(file: Path | None, profile: str | None, known: Known) -> Defaults:
    """Read the defaults of all commands: the file's, overridden by the profile's.

    Args:
        file: None: the user's own, which may be missing.
        profile: a name, or None.
        known: the options of each command.

    Raises:
        UsageError: a named file or profile does not exist, the file is not valid TOML, or it
            has an unknown table or key.
    """
    path = file or config_file()
    text = {} if file is None and not path.exists() else _read(path)
    profiles = text.pop("profile", {})
    if not isinstance(profiles, dict):
        raise UsageError(
            f"{path}: 'profile' is not a table; write [profile.NAME.run], and choose it with"
            " --profile"
        )
    if profile is not None and profile not in profiles:
        listed = ", ".join(profiles) or "none"
        raise UsageError(f"{path}: no profile {profile!r}; known: {listed}")
    common = _values(path, "", text, known)
    layers = {
        name: _values(path, f"profile.{name}", layer, known) for name, layer in profiles.items()
    }
    return _overlaid(common, layers[profile]) if profile is not None else common


def _values(path: Path, name: str, table: Any, known: Known) -> Defaults:
    """Read the table of that name and its subtables, by option names."""
    if not isinstance(table, dict):
        raise UsageError(
            f"{path}: {name!r} is not a table; write options below [run], [mask] or [bench]"
        )
    values: Defaults = {}
    for key, value in table.items():
        option, inner = key.replace("-", "_"), f"{name}.{key}" if name else key
        if option in known.options:
            if isinstance(value, dict):
                raise UsageError(
                    f"{path}: {inner!r} is an option and no table; write {key} = VALUE in [{name}]"
                )
            values[option] = (
                [value] if known.options[option] and not isinstance(value, list) else value
            )
        elif key in known.tables or not (
            known.options or isinstance(value, dict)
        ):  # such a value is no table
            values[key] = _values(path, inner, value, known.tables.get(key, known))
        else:
            raise UsageError(f"{path}: unknown {_unknown(name, key, value, known)}")
    return values


def _unknown(name: str, key: str, value: Any, known: Known) -> str:
    """Name the unknown key and its place, and suggest the nearest known one."""
    what, where = "table" if isinstance(value, dict) else "key", f" in [{name}]" if name else ""
    names = [*(option.replace("_", "-") for option in known.options), *known.tables]
    near = get_close_matches(key.replace("_", "-"), names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
    return f"{what} {key!r}{where}; {hint}"


def _overlaid(below: Defaults, above: Defaults) -> Defaults:
    """Merge two tables of defaults; `above` takes precedence."""
    tables = {
        key: _overlaid(below.get(key, {}), value)
        for key, value in above.items()
        if isinstance(value, dict)
    }
    return {**below, **above, **tables}


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name another file with --config") from error
    except TomlError as error:
        raise UsageError(f"{error}; correct it, or name another file with --config") from error
