"""The program `vcam` from start to exit: every failure becomes one line."""

from __future__ import annotations

import atexit
import errno
import logging
import os
import sys
import threading
import traceback
from typing import Any

import typer
from rich.console import Console

from vcam import limits
from vcam.cli import signals, terminal
from vcam.cli.app import app
from vcam.cli.options import listen
from vcam.config import config_file
from vcam.errors import UsageError, explained
from vcam.text import one_line
from vcam.toml_file import shown

_MOST_MEGAPIXELS = 4000
_INTERRUPTED = 130


def main() -> None:
    """Run the command line and end the process."""
    verbose = bool({"-v", "--verbose"} & set(sys.argv[1:]))  # the settings file may be invalid
    terminal.install(verbose)
    atexit.register(terminal.drain)
    signals.install()
    listen(verbose)
    try:
        _set_limit(os.environ.get("VCAM_MAX_MEGAPIXELS"))
        status = _status(_command()(prog_name="vcam", standalone_mode=False))
    except signals.Stopped as stop:
        status = stop.status
    except KeyboardInterrupt:
        status = _INTERRUPTED
    except SystemExit as end:
        status = _status(end.code)
    except BaseException as error:  # noqa: BLE001 - the last chance to report it
        status = _explain(error)
    _leave(_flushed(status))


def _command() -> Any:
    """The command line. Its help omits environment variables; docs/settings.md has them."""

    def shorten(command: Any) -> None:
        for param in command.params:
            param.show_envvar = False
        for below in getattr(command, "commands", {}).values():
            shorten(below)

    command = typer.main.get_command(app)
    shorten(command)
    return command


def _set_limit(megapixels: str | None) -> None:
    """Set the limit on pictures before OpenCV is loaded."""
    if megapixels is None:
        return
    if not megapixels.isdecimal() or not 1 <= int(megapixels) <= _MOST_MEGAPIXELS:
        raise UsageError(
            f"VCAM_MAX_MEGAPIXELS = {one_line(megapixels, 40)}: it must be a whole number from 1 "
            f"to "
            f"{_MOST_MEGAPIXELS}"
        )
    limits.set_max_pixels(int(megapixels) * 1_000_000)


def _status(value: object) -> int:
    return value if isinstance(value, int) else int(value is not None and bool(value))


def _explain(error: BaseException) -> int:
    """Report the failure in one line; return the exit status."""
    if logging.getLogger("vcam").isEnabledFor(logging.INFO) and not _is_about_usage(error):
        traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, BrokenPipeError):  # the reader of standard output is gone
        return 1
    if _is_about_usage(error):
        if type(error).__name__ == "NoArgsIsHelpError":
            print(getattr(error, "ctx").get_help())  # noqa: B009 - of two libraries' classes
        else:
            _say(_usage(error))
        return 2
    _say(explained(error))
    return 2 if isinstance(error, UsageError) else 1


def _say(text: str) -> None:
    line = f"vcam: {one_line(text)}"
    Console(stderr=True, soft_wrap=True).print(line, style="red", markup=False, highlight=False)


def _is_about_usage(error: BaseException) -> bool:
    """Whether it is a usage error of Click, or of Typer's own copy of it."""
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def _usage(error: Any) -> str:
    """Describe a usage error: the option, where it was set, and where to find help."""
    message = error.format_message().strip().rstrip(".")
    context = getattr(error, "ctx", None)
    if context is None:
        return str(message)
    return f"{_where(error, context)}{message}; see `{context.command_path} --help`"


def _where(error: Any, context: Any) -> str:
    """The file and profile, or the variable, that set a wrong value; empty: the command line."""
    param = getattr(error, "param", None)
    if param is None or not param.name:
        return ""
    source = getattr(context.get_parameter_source(param.name), "name", "")
    if source == "ENVIRONMENT":
        own = param.envvar if isinstance(param.envvar, str) else None
        name = own or f"{context.auto_envvar_prefix}_{param.name.upper()}"
        return f"{name} = {shown(os.environ.get(name, ''))}: "
    if source != "DEFAULT_MAP":
        return ""
    root = context.find_root().params
    profile = f", profile {root['profile']}" if root.get("profile") else ""
    value = shown(context.lookup_default(param.name))
    return f"{root.get('config') or config_file()}{profile}: {param.name} = {value}: "


def _flushed(status: int) -> int:
    """Flush standard output; return the exit status, which reports a failure."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        return status or 1
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        if getattr(error, "errno", None) != errno.EBADF or status == 0:
            _say(f"standard output: {said}; what was to be printed is lost")
        return status or 1
    return status


def _leave(status: int) -> None:
    """End the process; immediately if one of its threads may still be in a library, because
    Python's normal exit would abort the process.
    """
    terminal.drain()
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if any(thread.name.startswith("vcam-") for thread in others) or signals.came():
        os._exit(status)
    _close_stdout()
    signals.ended()
    sys.exit(status)


def _close_stdout() -> None:
    """Prevent Python from retrying a failed write to standard output at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.close()
    except (OSError, ValueError):
        sys.stdout = None  # Python's own value without standard output
