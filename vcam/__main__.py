"""`python -m vcam` is the command `vcam`."""

from vcam.cli import main

if __name__ == "__main__":
    main()
