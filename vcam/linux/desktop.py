"""A desktop menu entry with icon for this user.

Formats: Desktop Entry Specification 1.5, Icon Theme Specification 0.13 (freedesktop.org).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

ENTRY = Path("applications/vcam.desktop")
ICON = Path("icons/hicolor/scalable/apps/vcam.svg")
_ACTIONS = {
    "pause": ("Pause", "pause"),
    "resume": ("Resume", "resume"),
    "stop": ("Stop", "stop"),
}


def data_folder(data_home: str, home: Path) -> Path:
    """The folder of the user's menu entries.

    Args:
        data_home: the value of XDG_DATA_HOME, or empty.
        home: the user's folder.
    """
    return Path(data_home) if data_home else home / ".local" / "share"


def entry_text(program: Sequence[str]) -> str:
    """The text of the entry: it opens the page, and starts a run first if there is none.

    Args:
        program: the command that starts vcam from any folder.
    """
    command = " ".join(_quoted(word) for word in program)
    lines = [
        "[Desktop Entry]",
        "Type=Application",
        "Version=1.5",
        "Name=vcam",
        "GenericName=Virtual camera",
        "Comment=A webcam with a better background",
        f"Exec={command} ui --start",
        "Icon=vcam",
        "Terminal=false",
        "Categories=AudioVideo;Video;",
        "Keywords=webcam;camera;background;blur;meeting;",
        f"Actions={';'.join(_ACTIONS)};",
    ]
    for name, (label, word) in _ACTIONS.items():
        lines += ["", f"[Desktop Action {name}]", f"Name={label}", f"Exec={command} {word}"]
    return "\n".join(lines) + "\n"


def _quoted(word: str) -> str:
    """Quote one argument of an Exec key if it has a reserved character, with "%" doubled;
    backslashes are doubled again, as in any string value.
    """
    word = word.replace("%", "%%")
    if word and not any(c in " \t\n\"'\\><~|&;$*?#()`" for c in word):
        return word
    for character in '\\"`$':
        word = word.replace(character, f"\\{character}")
    return '"' + word.replace("\\", "\\\\") + '"'
