"""Commands that change a running vcam, show its page, and keep its settings."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vcam import __version__
from vcam.cli import quick
from vcam.cli.options import AsJson, Verbose, known_settings, print_json
from vcam.cli.quick import runtime_folder
from vcam.config import config_file, read_defaults
from vcam.control.lines import ask
from vcam.effects import all_effects, is_about_room
from vcam.errors import UsageError

if TYPE_CHECKING:
    from vcam.assemble import RunRequest
    from vcam.cli.service import Tick
    from vcam.control.control import Control
    from vcam.control.settings import Settings
    from vcam.monitor import Snapshot
    from vcam.sources.base import Source

profile_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Profiles of the settings file: list, save and use them during a run.",
)
config_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="The settings file: show, check, edit."
)
Key = Annotated[str, typer.Argument(help="An effect, mirror or paused.")]


WORK_WITHOUT_SETTINGS = (
    *("status", "set", "effects", "pause", "resume", "toggle", "snapshot", "stop", "ui", "preview"),
    *("profile", "config"),
)
"""Commands that work with an invalid settings file: they show it, fix it, or do not read it."""


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(name="set")(set_)
    for command in (effects, pause, resume, toggle, snapshot, stop, ui):
        app.command()(command)
    app.command(name="preview")(ui)
    app.add_typer(profile_app, name="profile")
    app.add_typer(config_app, name="config")


def set_(
    changes: Annotated[
        list[str],
        typer.Argument(metavar="KEY=VALUE...", show_default=False, help="What to change."),
    ],
    verbose: Verbose = False,
) -> None:
    """Change the running vcam between two frames.

    Examples:

    ```sh
    vcam set blur.strength=0.7 teeth=on  # several at once
    vcam set image=beach.jpg blur=off  # another room
    # or source, mirror, grow, feather, order=skin,teeth,blur
    vcam set engine=portraitnet
    ```
    """
    print(quick.set_values(changes))


def pause(verbose: Verbose = False) -> None:
    """Show a card instead of the picture, and switch the camera off.

    Examples:

    ```sh
    vcam pause
    ```
    """
    print(quick.pause(True))


def resume(verbose: Verbose = False) -> None:
    """Show the picture again.

    Examples:

    ```sh
    vcam resume
    ```
    """
    print(quick.pause(False))


def toggle(key: Key, verbose: Verbose = False) -> None:
    """Switch an effect of the running vcam on or off.

    Examples:

    ```sh
    vcam toggle teeth
    vcam toggle paused  # one key for pause and resume
    ```
    """
    print(quick.toggle(key))


def snapshot(
    file: Annotated[Path, typer.Argument(help="A new PNG file.", show_default=False)],
    verbose: Verbose = False,
) -> None:
    """Save the next picture that the running vcam sends.

    Examples:

    ```sh
    vcam snapshot me.png
    ```
    """
    print(quick.snapshot(file))


def stop(verbose: Verbose = False) -> None:
    """Stop the running vcam.

    Examples:

    ```sh
    vcam stop
    ```
    """
    quick.stop()


def effects(json: AsJson = False, verbose: Verbose = False) -> None:
    """List the effects with their parameters, and those that are on in the running vcam.

    Examples:

    ```sh
    vcam effects --json
    ```
    """
    if json:
        now = quick.effects_on()
        rows = {
            name: {**spec.schema(), "x-room": is_about_room(name), "on": name in now}
            | ({"values": now[name]["values"]} if name in now else {})
            for name, spec in all_effects().items()
        }
        print_json(rows)
        return
    print(quick.list_effects())


def ui(
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Print the address instead of opening it.")
    ] = False,
    start: Annotated[
        bool, typer.Option("--start", help="Start `vcam run --ui` if none runs.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Open the page of the running vcam: preview, effects, backgrounds, health.

    Examples:

    ```sh
    vcam ui
    # for another browser; the address works once, within a minute
    vcam ui --no-open
    ```
    """
    try:
        address = str(ask(runtime_folder(), "ui", page=True))
    except UsageError:
        if not start:
            raise
        os.execv(sys.executable, [sys.executable, "-m", "vcam", "run", "--ui"])  # noqa: S606
    if no_open:
        print(address)
    else:
        open_browser(address)


def open_browser(address: str) -> None:
    """Open an address, or print it if there is no browser."""
    if not webbrowser.open(address):
        print(f"open this address in a browser: {address}")


@contextmanager
def controlled(
    context: typer.Context,
    control: Control,
    request: RunRequest,
    tick: Tick,
    *,
    page: bool,
    port: int,
    metrics: bool,
) -> Iterator[Tick]:
    """While the block runs, make a pipeline controllable; yields its tick."""
    from vcam.cli.devices import find_devices
    from vcam.control.build import actions_of
    from vcam.control.serve import Server
    from vcam.control.settings import Reloader

    settings = settings_of(context)
    reloader = Reloader(settings, control)
    actions = actions_of(control, request, settings, lambda: find_devices().to_dict(), __version__)

    def ticking(source: Source, now: Snapshot) -> None:
        tick(source, now)
        control.tick(now)
        reloader.tick()

    with ExitStack() as stack:
        server = Server(actions, runtime_folder(), port, metrics=metrics)
        try:
            stack.enter_context(server)
        except UsageError as error:
            if page or metrics:
                raise
            print(f"vcam: `vcam set` cannot reach this run: {error}", file=sys.stderr)
        if page or metrics:
            address = server.open_page()
            if page:
                open_browser(address)
        yield ticking


def settings_of(context: typer.Context) -> Settings:
    """The settings file of this command line, for `vcam run`."""
    from vcam.control.settings import Settings

    root = context.find_root()
    file, profile = root.params.get("config"), root.params.get("profile")
    known = known_settings(context)
    fixed = {}
    if context.info_name == "run":
        given = {name: context.get_parameter_source(name) for name in context.params}
        names = {"COMMANDLINE", "ENVIRONMENT"}
        fixed = {
            name: context.params[name]
            for name, where in given.items()
            if where is not None and where.name in names
        }

    def read(name: str | None) -> dict[str, Any]:
        return dict(read_defaults(file, name, known).get("run", {}))

    return Settings(file or config_file(), read, fixed, profile)


@profile_app.command(name="list")
def list_profiles(context: typer.Context, json: AsJson = False, verbose: Verbose = False) -> None:
    """List the profiles of the settings file.

    Examples:

    ```sh
    vcam profile list
    ```
    """
    settings = settings_of(context)
    names = settings.profiles()
    if json:
        print_json({"file": str(settings.path), "profiles": names})
    else:
        print(
            "\n".join(names) or f"no profile in {settings.path}; `vcam profile save NAME` adds one"
        )


@profile_app.command(name="use")
def use_profile(
    name: Annotated[str, typer.Argument(help="Of the settings file.", show_default=False)],
    verbose: Verbose = False,
) -> None:
    """Apply a profile to the running vcam in one step.

    Examples:

    ```sh
    vcam profile use meeting
    ```
    """
    print(quick.use_profile(name))


@profile_app.command(name="save")
def save_profile(
    name: Annotated[
        str | None, typer.Argument(help="Without it: the usual settings.", show_default=False)
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Save the state of the running vcam in the settings file; comments in it are kept.

    Examples:

    ```sh
    vcam profile save meeting
    vcam profile save  # as the usual settings
    ```
    """
    saved = ask(runtime_folder(), "save_profile", name=name)
    print(f"wrote {saved['file']}")


@config_app.command(name="show")
def show_config(context: typer.Context, json: AsJson = False, verbose: Verbose = False) -> None:
    """Print the path of the settings file, and its options for `vcam run`.

    Examples:

    ```sh
    vcam config show
    ```
    """
    settings = settings_of(context)
    options = settings.read(settings.profile)
    if json:
        print_json({"file": str(settings.path), "run": options})
        return
    print(settings.path if settings.path.exists() else f"{settings.path} (does not exist)")
    for key, value in options.items():
        print(f"  {key.replace('_', '-')} = {value!r}")


@config_app.command(name="check")
def check_config(context: typer.Context, verbose: Verbose = False) -> None:
    """Check the settings file, with all its profiles: names, values, effects.

    Examples:

    ```sh
    vcam config check
    ```
    """
    settings = settings_of(context)
    settings.check()
    print(
        f"{settings.path}: valid" if settings.path.exists() else f"{settings.path}: does not exist"
    )


@config_app.command(name="edit")
def edit_config(context: typer.Context, verbose: Verbose = False) -> None:
    """Edit a copy of the settings file with $VISUAL or $EDITOR; a valid copy replaces the file.

    Examples:

    ```sh
    vcam config edit
    ```
    """
    settings = settings_of(context)
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "nano"
    before = _content(settings.path)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / settings.path.name
        draft.write_bytes(_FIRST_TEXT.encode() if before is None else before)
        try:
            done = subprocess.run([*shlex.split(editor), str(draft)], check=False)  # noqa: S603
        except (OSError, ValueError) as error:
            raise UsageError(f"{editor}: {error}; set EDITOR to an editor") from error
        if done.returncode:
            raise UsageError(
                f"{editor}: ended with status {done.returncode}, nothing is changed;"
                " set EDITOR to another editor"
            )
        after = _content(draft)
        if after is None:
            raise UsageError(f"{settings.path}: the editor removed its copy; nothing is changed")
        if after == before:
            print(f"{settings.path}: unchanged")
            return
        try:
            settings.at(draft, known_settings(context)).check()
        except UsageError as error:
            reason = str(error).replace(str(draft), str(settings.path))
            raise UsageError(f"{reason}; {_kept(settings.path, after)}") from error
    if _content(settings.path) != before:
        raise UsageError(
            f"{settings.path}: changed while you edited it; {_kept(settings.path, after)}"
        )
    _write(settings.path.resolve(), after)
    print(f"wrote {settings.path}")


def _content(path: Path) -> bytes | None:
    """The content of a settings file; None if there is none."""
    from vcam.files import read_bounded
    from vcam.toml_file import MOST_BYTES

    try:
        return read_bounded(path, MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; check who may read it (ls -l)") from error


def _write(path: Path, content: bytes, mode: int | None = None) -> None:
    from vcam.files import reason, write_whole

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content, mode)
    except OSError as error:
        raise UsageError(f"{path}: {reason(error)}") from error


def _kept(path: Path, content: bytes) -> str:
    """Keep what was written, and say where."""
    kept = path.with_name(f"{path.name}.rejected")
    _write(kept, content, 0o600)
    return f"what you wrote is kept in {kept}"


_FIRST_TEXT = """\
# Settings of vcam; `vcam run --help` lists the options. A running vcam applies changes at once.

[run]
# effect = ["blur:0.6"]
# mirror = true

# [profile.meeting.run]
# effect = ["image:/home/me/office.jpg", "teeth:0.4"]
"""
