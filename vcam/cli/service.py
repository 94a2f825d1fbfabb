"""`vcam service` and `vcam status`: vcam in the background, and what it does there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vcam.cli.options import AsJson, Verbose, known_settings, print_json
from vcam.errors import UsageError
from vcam.files import write_whole
from vcam.linux.systemd import UNIT, program_words, unit_path, unit_text
from vcam.service.instances import SILENT_S, instances_folder, list_instances

if TYPE_CHECKING:
    from vcam.control.control import Control
    from vcam.monitor import Snapshot
    from vcam.pipeline.pipeline import Pipeline
    from vcam.sources.base import Source

    Tick = Callable[[Source, Snapshot], None]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Run vcam in the background, from login on (Linux, systemd).",
)


@contextmanager
def announced_run(pipeline: Pipeline, control: Control) -> Iterator[Tick]:
    """What says, while a pipeline runs, how it is to `vcam status` and systemd."""
    from vcam.service.announce import announced

    folder = instances_folder(os.environ.get("XDG_RUNTIME_DIR"))
    with announced(folder, os.environ.get("NOTIFY_SOCKET", "")) as announcer:

        def tick(source: Source, now: Snapshot) -> None:
            about = {
                "effects": [worn.text for worn in control.wanted.effects],
                "settings_error": control.settings_error,
            }
            announcer.update(source, now, {**pipeline.about(), **about})

        yield tick


@app.command()
def install(
    context: typer.Context,
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- OPTIONS]", help="Options of `vcam run`.", show_default=False),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Run with this profile of the settings file.")
    ] = None,
    start: Annotated[
        bool, typer.Option("--start/--no-start", help="Enable and start it at once.")
    ] = True,
    verbose: Verbose = False,
) -> None:
    """Write the unit, enable it and start it.

    Examples:

    `vcam service install`

    `vcam service install -- --effect image:beach.jpg --mirror`

    `vcam service install --profile meeting --no-start`
    """
    before = _root_options(context, profile)
    arguments = list(options or ())
    _check_run_options(context, arguments)
    path = _unit()
    text = unit_text([*program_words(), *before, "run", *arguments], Path.cwd())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text, 0o644)
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}; see that its folder can be written to"
        ) from error
    print(f"wrote {path}")
    if start:
        _systemctl("daemon-reload")
        _systemctl("enable", UNIT)
        _systemctl("restart", UNIT)
        print("it runs; see `vcam status` and `journalctl --user -u vcam`")
    else:
        print(
            f"start it with: systemctl --user daemon-reload && systemctl --user enable --now {UNIT}"
        )


@app.command()
def uninstall(verbose: Verbose = False) -> None:
    """Stop the service and remove its unit."""
    path = _unit()
    if not path.exists():
        raise UsageError(f"{path}: no such unit; there is nothing to uninstall")
    _systemctl("disable", "--now", UNIT)
    path.unlink()
    _systemctl("daemon-reload")
    print(f"removed {path}")


@app.command("status")
def service_status(verbose: Verbose = False) -> None:
    """Show what systemd says of the service; exit status 3 where it does not run, as systemctl has
    it.
    """
    if not _unit().exists():
        raise UsageError(f"{_unit()}: no such unit; `vcam service install` writes it")
    raise typer.Exit(_run("status", "--no-pager", UNIT))


def status(json: AsJson = False, verbose: Verbose = False) -> None:
    """Say what the running vcams do; exit status 3 where none runs.

    Example: `vcam status --json`
    """
    running = list_instances(instances_folder(os.environ.get("XDG_RUNTIME_DIR")))
    if json:
        print_json(running)
    else:
        print("\n".join(_line(record) for record in running) or "vcam does not run")
    if not running:
        raise typer.Exit(3)


def _line(record: dict[str, Any]) -> str:
    state = f"{record['state']}: {record['reason']}" if record.get("reason") else record["state"]
    if record["silent_s"] > SILENT_S:
        state = f"silent for {record['silent_s']:.0f} s, before that {state}"
    drops = ", ".join(f"{count} {cause}" for cause, count in record["drops"].items()) or "none"
    engine = record["engine"]
    choice = f" ({engine['choice']})" if engine.get("choice") else ""
    return (
        f"{record['pid']}  {record['source']} -> {record['sink']}  {state}\n   "
        f" {' '.join(record['effects'])}  {engine.get('engine', '')} on"
        f" {engine.get('backend', '')}{choice}\n    {record['fps']:.1f} fps  latency"
        f" {record['latency']['p50_ms']:.0f}/{record['latency']['p95_ms']:.0f} ms p50/p95  drops"
        f" {drops}  {record['seconds'] / 60:.0f} min" + _settings_line(record)
    )


def _settings_line(record: dict[str, Any]) -> str:
    error = record.get("settings_error")
    return f"\n    settings file: {error}; the settings of before stay" if error else ""


def _unit() -> Path:
    if sys.platform != "linux":
        raise UsageError(
            "vcam service is for Linux with systemd; elsewhere have `vcam run` started at login"
        )
    return unit_path(os.environ.get("XDG_CONFIG_HOME", ""), Path.home())


def _root_options(context: typer.Context, profile: str | None) -> list[str]:
    """The options before `run`: those given to this vcam, and the profile, which must exist and
    counts from here on.
    """
    from vcam.config import read_defaults

    root = context.find_root()
    given = root.params
    profile = profile or given.get("profile")
    config = given.get("config")
    root.default_map = read_defaults(config, profile, known_settings(context))
    words = ["--config", str(config.absolute())] if config else []
    return [*words, *(["--profile", profile] if profile else [])]


def _check_run_options(context: typer.Context, arguments: Sequence[str]) -> None:
    """Have `vcam run` read its options without running: a mistake is told now and not in the
    journal.
    """
    from vcam.effects import make_effects

    root = context.find_root()
    group: Any = root.command
    run = group.get_command(root, "run")
    read = run.make_context("run", list(arguments), parent=root)
    make_effects(read.params["effect"] or ())


def _systemctl(*arguments: str) -> None:
    """Run systemctl for the user's own services.

    Raises:
        UsageError: there is none, or it fails; what it says is on standard error already.
    """
    if _run(*arguments):
        raise UsageError(
            f"`systemctl --user {' '.join(arguments)}` failed; it works in a user's session with"
            " systemd"
        )


def _run(*arguments: str) -> int:
    try:
        return subprocess.run(["systemctl", "--user", *arguments], check=False).returncode  # noqa: S603, S607
    except OSError as error:
        raise UsageError(
            f"systemctl cannot be run: {error.strerror}; vcam service needs systemd"
        ) from error
