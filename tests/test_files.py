"""Files that are whole or not there, never lost to another program, and never written through a
planted link.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vcam import files
from vcam.files import Draft, discard_all, is_same_file, read_bounded, remove_leftovers, write_whole

linux = pytest.mark.skipif(sys.platform == "win32", reason="symbolic links and pipes of POSIX")


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_draft_becomes_the_file_only_by_commit(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with Draft(path) as draft:
        draft.file.write(b"half")
        assert not path.exists()
        assert _names(tmp_path)[0].endswith(".vcam-partial.mp4")
    assert _names(tmp_path) == []
    with Draft(path) as draft:
        draft.file.write(b"whole")
        draft.commit()
    assert (path.read_bytes(), _names(tmp_path)) == (b"whole", ["a.mp4"])


def test_what_appears_meanwhile_is_kept_and_so_is_the_draft(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with Draft(path) as draft:
        draft.file.write(b"ours")
        path.write_bytes(b"theirs")
        with pytest.raises(FileExistsError, match="appeared meanwhile") as refused:
            draft.commit()
    assert path.read_bytes() == b"theirs"
    assert Path(refused.value.filename2).read_bytes() == b"ours"
    assert _names(tmp_path) == ["a-2.mp4", "a.mp4"]


@pytest.mark.parametrize("lacking", ["renameat2", "renameat2 and links"])
def test_nothing_is_replaced_on_file_systems_that_can_do_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    monkeypatch.setattr(files, "_renameat2", lambda *_: errno.EINVAL)
    if "links" in lacking:
        monkeypatch.setattr(
            os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(errno.EPERM, "no links"))
        )
    path = tmp_path / "a"
    write_whole(path, "first", overwrite=False)
    with Draft(tmp_path / "b") as draft:
        (tmp_path / "b").write_text("theirs")
        with pytest.raises(FileExistsError):
            draft.commit()
    assert (path.read_text(), (tmp_path / "b").read_text(), _names(tmp_path)) == (
        "first",
        "theirs",
        ["a", "b", "b-2"],
    )


@linux
def test_a_planted_link_is_not_written_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    shared = tmp_path / "shared"
    shared.mkdir()
    planted = iter(["00000000", "00000001"])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(planted))
    (shared / ".out.00000000.vcam-partial.mp4").symlink_to(
        victim
    )  # even if the name could be foreseen
    write_whole(shared / "out.mp4", b"film")
    assert (victim.read_text(), (shared / "out.mp4").read_bytes()) == ("mine", b"film")
    assert not (shared / "out.mp4").is_symlink()


@linux
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder", "device"])
def test_only_regular_files_are_replaced(tmp_path: Path, kind: str, overwrite: bool) -> None:
    path, other = tmp_path / "out.mp4", tmp_path / "other"
    if kind == "link":
        other.write_text("mine")
    if "link" in kind:
        path.symlink_to(other)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path = Path("/dev/null")
    before = path.lstat()
    with pytest.raises(OSError, match=r"symbolic link|pipe or a device|folder"):
        write_whole(path, b"film", overwrite=overwrite)
    assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert kind != "link" or other.read_text() == "mine"


@linux
@pytest.mark.parametrize("name", ["a\0b.mp4", "a\udcffb\ud800.mp4"])
def test_impossible_names_are_errors_of_the_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match="no file can have this name"):
        write_whole(tmp_path / name, b"")


@linux
def test_leftovers_of_killed_programs_are_removed_and_drafts_in_use_are_not(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom vcam.files import Draft\nwith"
        " Draft(Path(sys.argv[1])) as draft:\n    draft.file.write(b'film'); draft.file.flush();"
        " print('ready', flush=True); time.sleep(60)\n"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "out.mp4")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        remove_leftovers(tmp_path)
        assert len(_names(tmp_path)) == 1
        running.send_signal(signal.SIGKILL)
    (tmp_path / ".mine.vcam-partial.mp4").write_text("no draft by its name")
    remove_leftovers(tmp_path)
    assert _names(tmp_path) == [".mine.vcam-partial.mp4"]


def test_a_process_that_must_end_leaves_no_draft(tmp_path: Path) -> None:
    with Draft(tmp_path / "a"), Draft(tmp_path / "b"):
        discard_all(0.0)
        assert _names(tmp_path) == []


@linux
def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "private"
    path.write_text("old")
    path.chmod(0o600)
    write_whole(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)


@linux
def test_reading_waits_for_nothing_and_has_an_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    start = time.monotonic()
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match=r"not a regular file|directory"):
            read_bounded(path, 10)
    assert time.monotonic() - start < 30
    (tmp_path / "a").write_text("0123456789")
    assert read_bounded(tmp_path / "a", 10) == b"0123456789"
    with pytest.raises(OSError, match="larger than 9 bytes"):
        read_bounded(tmp_path / "a", 9)


@linux
def test_one_file_by_two_names(tmp_path: Path) -> None:
    one, link, hard, other = (tmp_path / name for name in ("one", "link", "hard", "other"))
    one.write_text("")
    other.write_text("")
    link.symlink_to(one)
    os.link(one, hard)
    assert is_same_file(one, link)
    assert is_same_file(hard, one)
    assert not is_same_file(one, other)
    assert not is_same_file(one, tmp_path / "missing")
