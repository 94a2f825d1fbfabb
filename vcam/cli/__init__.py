"""The command line: the only place that prints, reads the environment or ends the process."""

import sys

from vcam.cli.quick import try_quick

__all__ = ["main"]


def main() -> None:
    """The program `vcam`."""
    try_quick(sys.argv[1:])
    from vcam.cli.program import main as whole  # takes longer than a hotkey may

    whole()
