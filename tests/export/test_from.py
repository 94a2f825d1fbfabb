"""docs/from.md names models, presets, commands and options that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import typer

from export.__main__ import app as export_app
from export.models import MODELS, PRESETS
from vcam.cli.app import app as vcam_app

_TEXT = (Path(__file__).parents[2] / "docs" / "from.md").read_text(encoding="utf-8")


def _commands(program: str) -> list[list[str]]:
    spans = re.findall(rf"`({re.escape(program)} [^`]+)`", _TEXT)
    return [shlex.split(span.removeprefix(program)) for span in spans]


def _options(app: typer.Typer) -> dict[str, set[str]]:
    """The options of each command."""
    group = typer.main.get_command(app)
    commands: dict[str, typer.core.TyperCommand] = group.commands  # type: ignore[attr-defined]
    return {
        name: {option for parameter in command.params for option in parameter.opts}
        for name, command in commands.items()
    }


def test_commands_and_options_exist() -> None:
    found = 0
    for program, app in (("python -m export", export_app), ("vcam", vcam_app)):
        options = _options(app)
        for name, *words in _commands(program):
            assert name in options
            used = {word for word in words if word.startswith("--")}
            assert used <= options[name], (program, name, used - options[name])
            found += 1
    assert found >= 8


def test_every_network_stands_in_the_table() -> None:
    table = _TEXT.partition("## Commands")[0]
    named = set(re.findall(r"`(\w+)`", table))
    own = {name for name in MODELS if "lite" in name or name.startswith("selfie")}
    assert set(MODELS) - own - {"portraitnet_face"} <= named
    origins = {name for name in PRESETS if name.startswith(("easyportrait", "face_"))}
    assert origins <= named
