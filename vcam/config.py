"""Settings from files: the defaults of a person or of a profile, below flags and environment.

The file is TOML. A table per command holds its long option names; `[profile.NAME.COMMAND]` holds those of a profile:

    [run]
    effect = ["blur:0.7"]

    [profile.meeting.run]
    effect = ["image:/home/me/office.jpg"]
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from vcam.errors import UsageError

Defaults = dict[str, dict[str, Any]]
"""Option values by command and option name."""


def config_file() -> Path:
    """Where the settings are looked for when no other file is named."""
    import platformdirs

    return Path(platformdirs.user_config_dir("vcam", appauthor=False)) / "config.toml"


def read_defaults(file: Path | None, profile: str | None) -> Defaults:
    """The defaults of all commands: the file's, overlaid with the profile's.

    Args:
        file: None: the user's own, which need not exist.
        profile: a name, or None.

    Raises:
        UsageError: a named file or profile does not exist, or the file is not TOML of the right shape.
    """
    path = file or config_file()
    if file is None and not path.exists():
        text: dict[str, Any] = {}
    else:
        text = _read(path)
    profiles = text.pop("profile", {})
    if profile is not None and profile not in profiles:
        known = ", ".join(profiles) or "none"
        raise UsageError(f"{path}: no profile {profile!r}; known: {known}")
    layers = [text, profiles.get(profile, {}) if profile else {}]
    defaults: Defaults = {}
    for layer in layers:
        for command, options in layer.items():
            if not isinstance(options, dict):
                raise UsageError(f"{path}: {command!r} is not a table; write options below [run], [mask] or [bench]")
            values = {key.replace("-", "_"): value for key, value in options.items()}
            defaults.setdefault(command, {}).update(values)
    return defaults


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name another file with --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML ({error}); mend it or name another file with --config") from error
