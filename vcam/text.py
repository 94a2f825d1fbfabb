"""Make text from files, names and libraries safe for one line of a terminal."""

from __future__ import annotations

_MOST_CHARACTERS = 1000


def one_line(text: object, most: int = _MOST_CHARACTERS) -> str:
    """Format as one line without control sequences: unprintable characters are escaped.

    Args:
        text: any object; its `str` is used.
        most: maximum number of characters.
    """
    line = " ".join(part.strip() for part in str(text).splitlines() if part.strip())
    shown = "".join(_printable(character) for character in line[: most + 1])
    return shown if len(line) <= most else f"{shown[:most]}..."


def _printable(character: str) -> str:
    """Escape a character as Python source would, also marks that reverse text."""
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
