"""The files by which running vcams are found, and forgotten when they are dead."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from vcam.service.instances import Instance, instances_folder, list_instances


def test_a_running_instance_is_listed_until_it_ends(tmp_path: Path) -> None:
    folder = tmp_path / "vcam"
    with Instance(folder) as instance:
        assert list_instances(folder) == []
        instance.write({"state": "running"})
        (record,) = list_instances(folder)
        assert (record["pid"], record["state"]) == (os.getpid(), "running")
        assert record["silent_s"] < 5
        assert [path.name for path in folder.iterdir()] == [f"{os.getpid()}.json"]
        if sys.platform != "win32":
            assert folder.stat().st_mode & 0o777 == 0o700
            assert next(folder.iterdir()).stat().st_mode & 0o777 == 0o600
    assert list(folder.iterdir()) == []
    instance.close()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are looked up in /proc")
def test_the_file_of_a_dead_process_is_removed_even_where_its_number_lives_again(
    tmp_path: Path,
) -> None:
    with Instance(tmp_path) as instance:
        instance.write({})
        own = json.loads((tmp_path / f"{os.getpid()}.json").read_text())
        (tmp_path / "1.json").write_text(
            json.dumps({**own, "pid": 1})
        )  # lives, but started at another time
        (tmp_path / "2.json").write_text(json.dumps({**own, "pid": 2**22 + 1}))  # no such process
        (tmp_path / "3.json").write_text("half a fi")
        assert [record["pid"] for record in list_instances(tmp_path)] == [os.getpid()]
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            ["3.json", f"{os.getpid()}.json"]
        )


def test_without_proc_a_long_silence_is_an_end(tmp_path: Path) -> None:
    no_proc = tmp_path / "proc"
    with Instance(tmp_path, no_proc) as instance:
        instance.write({})
        assert len(list_instances(tmp_path, no_proc)) == 1
        instance.write({"updated": 0})
        assert list_instances(tmp_path, no_proc) == []


def test_several_are_listed_the_oldest_first_with_their_silence(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    for pid, started in ((70, 200.0), (80, 100.0)):
        (proc / str(pid)).mkdir()
        fields = " ".join(["S", *map(str, range(4, 22)), f"{pid}00"])
        (proc / f"{pid}/stat").write_text(f"{pid} (a ) name) {fields} 23 24")
        record = {"pid": pid, "started": started, "start_ticks": pid * 100, "updated": 0}
        (tmp_path / f"{pid}.json").write_text(json.dumps(record))
    found = list_instances(tmp_path, proc)
    assert [record["pid"] for record in found] == [80, 70]
    assert all(record["silent_s"] > 1e9 for record in found)


def test_a_folder_that_cannot_be_made_harms_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Instance(tmp_path / "file/vcam") as instance:
        instance.write({"state": "running"})
    assert list_instances(tmp_path / "file/vcam") == []


def test_the_folder_is_below_the_runtime_folder_or_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert instances_folder("/run/user/1000") == Path("/run/user/1000/vcam")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert instances_folder(None).name == instances_folder("").name == "running"
