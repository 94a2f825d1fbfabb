"""The program `vcam`, also as `python -m vcam`."""

import signal
import sys


def main() -> None:
    """Start the command line. Until it is loaded, Ctrl-C ends the process silently."""
    if sys.platform != "win32" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from vcam.cli import main as run

    run()


if __name__ == "__main__":
    main()
