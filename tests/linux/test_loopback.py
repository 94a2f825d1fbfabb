"""The settings files of the kernel module: written whole, read as modprobe reads them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from vcam.errors import UsageError
from vcam.linux.loopback import (
    LOAD_FILE,
    OPTIONS_FILE,
    Loopback,
    loads_at_start,
    read_options,
    write_files,
)

SEVERAL = Loopback(("Desk camera", "Stage"), 20)
SEVERAL_OPTIONS = 'devices=2 video_nr=20,21 card_label="Desk camera,Stage" exclusive_caps=1,1'


def test_the_options_say_what_is_wanted() -> None:
    assert Loopback().options == "devices=1 video_nr=10 card_label=vcam exclusive_caps=1"
    assert SEVERAL.options == SEVERAL_OPTIONS
    assert "'card_label=Desk camera,Stage'" in SEVERAL.load_command


def test_modprobe_itself_understands_the_file(tmp_path: Path) -> None:
    modprobe = shutil.which("modprobe", path="/usr/sbin:/sbin:/usr/bin")
    if modprobe is None:
        pytest.skip("modprobe is not installed")
    write_files(SEVERAL.files(), tmp_path)
    command = [modprobe, "--showconfig", "--config", str(tmp_path / OPTIONS_FILE.parent)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"options v4l2loopback {SEVERAL_OPTIONS}\n" in shown


@pytest.mark.parametrize(
    "loopback",
    [
        Loopback(()),
        Loopback(("a",) * 9),
        Loopback(number=-1),
        Loopback(("a", "b"), 255),
        Loopback(("",)),
        Loopback(('a"b',)),
        Loopback(("a,b",)),
        Loopback(("a\nb",)),
        Loopback(("x" * 32,)),
    ],
)
def test_what_the_module_would_not_take_is_refused(loopback: Loopback) -> None:
    with pytest.raises(UsageError):
        loopback.check()


def test_files_are_written_once(tmp_path: Path) -> None:
    files = Loopback().files()
    assert write_files(files, tmp_path) == [tmp_path / OPTIONS_FILE, tmp_path / LOAD_FILE]
    assert (tmp_path / OPTIONS_FILE).stat().st_mode & 0o777 == 0o644
    assert write_files(files, tmp_path) == []
    assert sorted(p.name for p in (tmp_path / "etc").rglob("*") if p.is_file()) == [
        "vcam.conf",
        "vcam.conf",
    ]
    assert read_options(tmp_path)["exclusive_caps"] == ("1", tmp_path / OPTIONS_FILE)
    assert loads_at_start(tmp_path) == tmp_path / LOAD_FILE


def test_a_file_that_says_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / OPTIONS_FILE
    path.parent.mkdir(parents=True)
    path.write_text("options v4l2loopback video_nr=7\n")
    with pytest.raises(UsageError, match=r"video_nr=7.*--overwrite"):
        write_files(Loopback().files(), tmp_path)
    assert path.read_text() == "options v4l2loopback video_nr=7\n"
    assert not (tmp_path / LOAD_FILE).exists()
    assert write_files(Loopback().files(), tmp_path, overwrite=True)
    assert path.read_text() == Loopback().files()[OPTIONS_FILE]


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("")
    with pytest.raises(UsageError, match=r"etc/modprobe\.d/vcam\.conf.*as root"):
        write_files(Loopback().files(), tmp_path)


def test_files_are_read_in_the_order_of_their_names_and_hide_each_other(tmp_path: Path) -> None:
    texts = {
        "etc/modprobe.d/b.conf": (
            "options v4l2loopback \\\n  exclusive_caps=1 # both\noptions other x=1\n"
        ),
        "usr/lib/modprobe.d/b.conf": "options v4l2loopback devices=9\n",
        "usr/lib/modprobe.d/c.conf": (
            'options v4l2loopback card_label="two words" exclusive_caps=0\n'
        ),
        "etc/modprobe.d/a.txt": "options v4l2loopback video_nr=3\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    last = tmp_path / "usr/lib/modprobe.d/c.conf"
    assert read_options(tmp_path) == {
        "exclusive_caps": ("0", last),
        "card_label": ("two words", last),
    }
