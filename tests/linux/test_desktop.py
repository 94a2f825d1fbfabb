"""The entry in the menu of a desktop."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path

from vcam.linux.desktop import ENTRY, ICON, data_folder, entry_text


def test_every_command_of_the_entry_is_quoted() -> None:
    text = entry_text(["/home/me/my programs/100%/vc$am"])
    entry = configparser.RawConfigParser(interpolation=None)
    entry.read_string(text)
    assert entry["Desktop Entry"]["Exec"] == r'"/home/me/my programs/100%%/vc\\$am" ui --start'
    for name in entry["Desktop Entry"]["Actions"].strip(";").split(";"):
        assert entry[f"Desktop Action {name}"]["Exec"].endswith(f" {name}")


def test_setup_writes_entry_and_icon_for_this_user(tmp_path: Path) -> None:
    env = {**os.environ, "XDG_DATA_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "vcam", "setup", "--desktop"]
    for _ in range(2):
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        assert str(tmp_path / ENTRY) in done.stdout
    assert (tmp_path / ENTRY).read_text().startswith("[Desktop Entry]\nType=Application\n")
    assert "<svg" in (tmp_path / ICON).read_text()
    assert data_folder("", Path("/home/me")) == Path("/home/me/.local/share")
