"""The command line: the only place that prints, reads the environment or ends the process."""

from vcam.cli.app import main

__all__ = ["main"]
