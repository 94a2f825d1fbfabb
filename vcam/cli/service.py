"""`vcam service` and `vcam status`: vcam in the background."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vcam.cli.options import AsJson, Verbose, known_settings, print_json
from vcam.errors import UsageError
from vcam.files import reason, write_whole
from vcam.linux.systemd import UNIT, program_words, unit_path, unit_text
from vcam.service.instances import SILENT_S, instances_folder, list_instances
from vcam.text import one_line

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
    """The ticks that report a pipeline's state to `vcam status` and systemd."""
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

    ```sh
    vcam service install
    vcam service install -- --effect image:beach.jpg --mirror
    vcam service install --profile meeting --no-start
    ```
    """
    before = _root_options(context, profile)
    arguments = list(options or ())
    _check_run_options(context, arguments)
    path = _unit()
    text = unit_text([*program_words(), *before, "run", *arguments], Path.cwd())
    before_text = _read_unit(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text, 0o600)  # a camera's URL may contain a password
    except OSError as error:
        raise UsageError(f"{path}: {reason(error)}") from error
    if start:
        try:
            _systemctl("daemon-reload")
            _systemctl("enable", UNIT)
            _systemctl("restart", UNIT)
        except UsageError:
            _put_back(path, before_text)
            raise
        print(f"wrote {path}")
        print("it runs; see `vcam status` and `journalctl --user -u vcam`")
    else:
        print(f"wrote {path}")
        print(
            f"start it with: systemctl --user daemon-reload && systemctl --user enable --now {UNIT}"
        )


def _read_unit(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _put_back(path: Path, text: str | None) -> None:
    """Restore the unit after a failed installation."""
    with suppress(OSError):
        if text is None:
            path.unlink()
        else:
            write_whole(path, text, 0o600)


@app.command()
def uninstall(verbose: Verbose = False) -> None:
    """Stop the service and remove its unit. Without a running systemd, only remove the unit."""
    path = _unit()
    if not path.exists() and not path.is_symlink():
        raise UsageError(f"{path}: no such unit; there is nothing to uninstall")
    stopped = _run("disable", "--now", UNIT, missing=1) == 0
    try:
        path.unlink()
        for wants in path.parent.glob("*.wants"):  # links made by `enable`
            (wants / UNIT).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: {reason(error)}") from error
    if stopped:
        _run("daemon-reload", missing=1)
    print(f"removed {path}")
    if not stopped:
        print(
            f"vcam: systemd could not be asked to stop it; if it runs, `systemctl --user stop "
            f"{UNIT}`"
            " ends it",
            file=sys.stderr,
        )


@app.command("status")
def service_status(verbose: Verbose = False) -> None:
    """Show the state of the service. Exit status 3 if it does not run, as with systemctl."""
    if not _unit().exists():
        raise UsageError(f"{_unit()}: no such unit; `vcam service install` writes it")
    raise typer.Exit(_run("status", "--no-pager", UNIT))


def status(json: AsJson = False, verbose: Verbose = False) -> None:
    """Show the running vcams. Exit status 3 if none runs.

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
    try:
        lines = _said(record)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        lines = [f"{record['pid']}  does not say how it is; its record cannot be read"]
    return "\n    ".join(one_line(line) for line in lines)


def _said(record: dict[str, Any]) -> list[str]:
    state = f"{record['state']}: {record['reason']}" if record.get("reason") else record["state"]
    if record["silent_s"] > SILENT_S:
        state = f"silent for {record['silent_s']:.0f} s, before that {state}"
    drops = ", ".join(f"{count} {cause}" for cause, count in record["drops"].items()) or "none"
    engine, latency = record["engine"], record["latency"]
    choice = f" ({engine['choice']})" if engine.get("choice") else ""
    error = record.get("settings_error")
    return [
        f"{record['pid']}  {record['source']} -> {record['sink']}  {state}",
        f"{' '.join(record['effects'])}  {engine.get('engine', '')} on {engine.get('backend', '')}"
        f"{choice}",
        f"{record['fps']:.1f} fps  latency {latency['p50_ms']:.0f}/{latency['p95_ms']:.0f} ms "
        f"p50/p95  drops {drops}  {record['seconds'] / 60:.0f} min",
        *([f"settings file: {error}; the previous settings stay in effect"] if error else []),
    ]


def _unit() -> Path:
    if sys.platform != "linux":
        raise UsageError(
            "vcam service is for Linux with systemd; elsewhere have `vcam run` started at login"
        )
    return unit_path(os.environ.get("XDG_CONFIG_HOME", ""), Path.home())


def _root_options(context: typer.Context, profile: str | None) -> list[str]:
    """The options before `run`: those given to this vcam, and the profile, which must
    exist.
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
    """Have `vcam run` parse its options without running, so that errors are reported now rather
    than in the journal.
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


def _run(*arguments: str, missing: int | None = None) -> int:
    """Run systemctl for the user's services; return its exit status.

    missing: returned if there is no systemctl; None: that is an error.
    """
    try:
        return subprocess.run(  # noqa: S603
            ["systemctl", "--user", *arguments],  # noqa: S607
            check=False,
            stderr=_stderr(),
        ).returncode
    except OSError as error:
        if missing is not None:
            return missing
        raise UsageError(
            f"systemctl cannot be run: {error.strerror}; vcam service needs systemd"
        ) from error


def _stderr() -> int | None:
    """Where programs that are started here may complain; see `vcam.cli.terminal`."""
    try:
        return sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):
        return None
