"""`vcam doctor` and `vcam setup`: diagnose this machine, and install the configuration of the
virtual camera.
"""

from __future__ import annotations

import importlib.resources
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from vcam import __version__
from vcam.cli.options import AsJson, Verbose, print_json
from vcam.errors import UsageError
from vcam.files import write_whole
from vcam.linux.desktop import ENTRY, ICON, data_folder, entry_text
from vcam.linux.loopback import Loopback, read_options, write_files
from vcam.linux.systemd import program_words

if TYPE_CHECKING:
    from vcam.doctor import Finding
    from vcam.doctor.machine import Machine
    from vcam.doctor.verdict import Fix

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


def doctor(
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="Run the commands that fix it; those that need root only if you are root.",
        ),
    ] = False,
    json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Find out why the camera does not work, and print the command that fixes it.

    Exit status 1 if there is a problem.

    Examples:

    ```sh
    vcam doctor
    vcam doctor --fix  # run what needs no root, print the rest
    ```
    """
    from vcam.doctor import examine, fixes_of, has_problem
    from vcam.doctor.machine import this_machine

    machine = this_machine(os.environ)
    findings = examine(machine)
    if fix:
        run_fixes(fixes_of(findings), machine)
        machine = this_machine(os.environ)
        findings = examine(machine)
    if json:
        problem = has_problem(findings)
        print_json(
            {
                "vcam": __version__,
                "ok": not problem,
                "checks": [finding.to_dict() for finding in findings],
            }
        )
    else:
        _show(findings)
    if has_problem(findings):
        raise typer.Exit(1)


def _show(findings: Sequence[Finding]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for finding in findings:
        state = finding.verdict.state
        console.print(f"{state:<9}", style=_COLOURS.get(state), end="")
        console.print(f"{finding.name:<18}{finding.verdict.reason}", markup=False)
        for fix in finding.verdict.fixes:
            console.print(f"{'':<27}{fix.typed}", markup=False, style="bold")


def run_fixes(fixes: Sequence[Fix], machine: Machine) -> None:
    """Run the permitted fixes. Their output goes to standard error, so that standard output
    contains only JSON.
    """
    from vcam.doctor import may_run

    for fix in fixes:
        if not may_run(fix, machine):
            print(f"vcam: please run this yourself: {fix.typed}", file=sys.stderr)
            continue
        print(f"vcam: running: {fix.command}", file=sys.stderr)
        try:
            done = subprocess.run(  # noqa: S603
                shlex.split(fix.command),
                check=False,
                stdout=sys.stderr.fileno(),
                stderr=sys.stderr.fileno(),
            )
        except OSError as error:
            print(f"vcam: {fix.command}: {error.strerror}", file=sys.stderr)
        else:
            if done.returncode:
                print(f"vcam: {fix.command}: exit status {done.returncode}", file=sys.stderr)


def setup(
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label", help="Name that meeting programs show, one per camera. Default: vcam."
        ),
    ] = None,
    number: Annotated[
        int, typer.Option(help="Number of the first camera: 10 is /dev/video10.")
    ] = 10,
    devices: Annotated[
        int | None,
        typer.Option(min=1, max=8, help="Number of virtual cameras; default: one per label."),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write the files instead of printing them; as root.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing files with other content.")
    ] = False,
    desktop: Annotated[
        bool,
        typer.Option("--desktop", help="Add vcam with its icon to this user's desktop menu."),
    ] = False,
    root: Annotated[
        Path, typer.Option(help="Install into this root folder instead of /, for disk images.")
    ] = Path("/"),
    verbose: Verbose = False,
) -> None:
    """Print the files that create a virtual camera at every start of Linux; install them with
    --write.

    Examples:

    ```sh
    vcam setup  # shows the files
    sudo vcam setup --write  # installs them
    vcam setup --label "Desk camera" --label "Stage" --number 20
    vcam setup --desktop  # puts vcam into your menu, without root
    ```
    """
    if sys.platform != "linux":
        raise UsageError(
            "vcam setup is for Linux; on Windows and macOS install OBS and start its virtual camera"
            " once"
        )
    if desktop:
        _write_desktop()
        return
    loopback = Loopback(_labels(label or ["vcam"], devices), number)
    loopback.check()
    if write:
        written = write_files(loopback.files(), root, overwrite)
        print(
            "\n".join(f"wrote {path}" for path in written)
            or "nothing to write: the files are already up to date"
        )
    else:
        for path, text in loopback.files().items():
            print(f"{root / path}:\n{text}")
        print(
            f"`sudo {shlex.join(program_words())} setup --write` with the same options writes"
            " them.\n"
        )
    _warn_of_others(loopback, root)
    print("Now, without a restart, as root:\n")
    print(
        "  modprobe -r v4l2loopback    (only if it is loaded; fails while a program has its camera"
        " open)"
    )
    print(f"  {loopback.load_command}")


def _write_desktop() -> None:
    """Add vcam to this user's desktop menu."""
    folder = data_folder(os.environ.get("XDG_DATA_HOME", ""), Path.home())
    icon = importlib.resources.files("vcam.control.page").joinpath("icon.svg").read_bytes()
    for path, content in ((ENTRY, entry_text(program_words())), (ICON, icon)):
        target = folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, content, 0o644)
        except OSError as error:
            raise UsageError(
                f"{target}: {error.strerror}; see that its folder can be written to"
            ) from error
        print(f"wrote {target}")


def _labels(given: list[str], devices: int | None) -> tuple[str, ...]:
    """One label per device, numbered if a single label is given for several."""
    count = devices or len(given)
    if len(given) == 1:
        return (given[0], *(f"{given[0]} {i}" for i in range(2, count + 1)))
    if len(given) != count:
        raise UsageError(
            f"{len(given)} labels for {count} devices: give one --label, or one for each"
        )
    return tuple(given)


def _warn_of_others(loopback: Loopback, root: Path) -> None:
    """Warn about other files with options for the module: the last one in the alphabet applies."""
    ours = {root / path for path in loopback.files()}
    others = {path for _, path in read_options(root).values()} - ours
    for path in sorted(others):
        print(f"vcam: {path} gives v4l2loopback options too; remove them there", file=sys.stderr)
