"""The command line as a whole: its commands, and the settings that all of them share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from vcam import __version__
from vcam.cli import control, doctor, engines, service
from vcam.cli.bench import bench
from vcam.cli.devices import devices
from vcam.cli.mask import mask
from vcam.cli.options import MaskCommand, known_settings
from vcam.cli.run import run
from vcam.effects import EFFECTS
from vcam.errors import UsageError

_FIRST = ("run", "devices", "doctor", "setup", "mask", "engines", "bench")
"""Commands that the help lists first, in this order."""


class _Commands(TyperGroup):
    """Lists commands in order of use."""

    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: _FIRST.index(name) if name in _FIRST else 99)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"auto_envvar_prefix": "VCAM", "help_option_names": ["-h", "--help"]},
    help="A webcam with a better background: blur it, replace it, remove it.",
    epilog=(
        "Start with `vcam run`. Without a camera: `vcam run --source demo --sink demo.mp4`."
        " Every option can also be set in a file or in the environment: see docs/settings.md."
    ),
)

app.command(epilog="\n".join(f"- `{name}`: {spec.help}" for name, spec in EFFECTS.items()))(run)
app.command()(devices)
app.command()(doctor.doctor)
app.command()(doctor.setup)
app.command(cls=MaskCommand)(mask)
app.add_typer(engines.app, name="engines")
app.command()(bench)
app.add_typer(service.app, name="service")
app.command()(service.status)
control.register(app)


def _print_version(on: bool) -> None:
    if on:
        print(f"vcam {__version__}")
        raise typer.Exit


@app.callback()
def _settings(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings file (TOML); default: config.toml in the user's folder."),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Use the options of `[profile.NAME.*]` in the settings file.")
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=_print_version,
            allow_from_autoenv=False,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    from vcam.config import read_defaults

    try:
        context.default_map = read_defaults(config, profile, known_settings(context))
    except UsageError:
        if context.invoked_subcommand not in control.WORK_WITHOUT_SETTINGS:
            raise
