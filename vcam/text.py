"""Text from files, names and libraries, made safe for one line of a terminal."""

from __future__ import annotations

_MOST_CHARACTERS = 1000


def one_line(text: object, most: int = _MOST_CHARACTERS) -> str:
    """As one line without control sequences: what is not printable is written as an escape.

    Args:
        text: anything; its `str` is taken.
        most: how many characters are kept.
    """
    line = " ".join(part.strip() for part in str(text).splitlines() if part.strip())
    shown = "".join(_printable(character) for character in line[: most + 1])
    return shown if len(line) <= most else f"{shown[:most]}..."


def _printable(character: str) -> str:
    """The character, or how it would be written in a program: also marks that turn text around."""
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
