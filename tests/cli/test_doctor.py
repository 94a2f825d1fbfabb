"""`vcam doctor` and `vcam setup` as users call them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.cli.test_cli import refused, vcam
from vcam.cli.doctor import run_fixes
from vcam.doctor import EVERYWHERE, ON_LINUX
from vcam.doctor.machine import Machine
from vcam.doctor.verdict import Fix


def test_doctor_says_what_is_wrong_in_time_and_by_its_exit_status() -> None:
    start = time.monotonic()
    done = vcam("doctor", "--json")
    assert time.monotonic() - start < 20  # two seconds on a machine that does nothing else
    report = json.loads(done.stdout)
    assert list(report) == ["vcam", "ok", "checks"]
    assert [check["name"] for check in report["checks"]] == [*ON_LINUX, *EVERYWHERE]
    assert {tuple(check) for check in report["checks"]} == {("name", "state", "reason", "fix")}
    problems = [check for check in report["checks"] if check["state"] == "problem"]
    assert (done.returncode, report["ok"]) == ((1, False) if problems else (0, True))
    assert done.stderr == ""


def test_doctor_in_words_has_a_line_for_each_check(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = vcam("doctor", env={"XDG_CACHE_HOME": str(tmp_path / "file")})
    lines = [line.split()[:2] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert [name for _, name in lines] == [*ON_LINUX, *EVERYWHERE]
    assert ["problem", "cache"] in lines
    assert done.returncode == 1


def test_setup_prints_and_writes_nothing(tmp_path: Path) -> None:
    done = vcam("setup", "--root", tmp_path, "--label", "Desk", "--devices", 2, "--number", 20)
    assert done.returncode == 0, done.stderr
    assert (
        'options v4l2loopback devices=2 video_nr=20,21 card_label="Desk,Desk 2" exclusive_caps=1,1'
        in done.stdout
    )
    assert "etc/modules-load.d/vcam.conf" in done.stdout
    assert "modprobe v4l2loopback devices=2" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_setup_writes_once_and_asks_before_it_replaces(tmp_path: Path) -> None:
    assert "wrote" in vcam("setup", "--write", "--root", tmp_path).stdout
    assert "nothing to write" in vcam("setup", "--write", "--root", tmp_path).stdout
    refused(
        vcam("setup", "--write", "--root", tmp_path, "--label", "other"),
        "vcam.conf",
        "other",
        "--overwrite",
    )
    assert (
        "wrote"
        in vcam("setup", "--write", "--overwrite", "--root", tmp_path, "--label", "other").stdout
    )
    assert "card_label=other" in (tmp_path / "etc/modprobe.d/vcam.conf").read_text()


def test_setup_names_another_file_with_options_and_refuses_what_cannot_be(tmp_path: Path) -> None:
    other = tmp_path / "etc/modprobe.d/obs.conf"
    other.parent.mkdir(parents=True)
    other.write_text("options v4l2loopback exclusive_caps=0\n")
    assert "obs.conf" in vcam("setup", "--root", tmp_path).stderr
    refused(vcam("setup", "--label", "a", "--label", "b", "--devices", 3), "2 labels", "3 devices")
    refused(vcam("setup", "--label", 'a"b'), "--label")


def test_fix_runs_what_it_may_and_prints_the_rest(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fixes = [
        Fix(f"touch {tmp_path / 'anybody'}"),
        Fix(f"touch {tmp_path / 'root'}", root=True),
        Fix(f"touch {tmp_path / 'choice'}", by_hand=True),
        Fix("no-such-program-of-vcam"),
        Fix("false"),
    ]
    run_fixes(fixes, Machine(uid=1000))
    assert [path.name for path in tmp_path.iterdir()] == ["anybody"]
    out, err = capfd.readouterr()
    assert out == ""
    assert f"please run this yourself: sudo touch {tmp_path / 'root'}" in err
    assert f"please run this yourself: touch {tmp_path / 'choice'}" in err
    assert "no-such-program-of-vcam: No such file" in err
    assert "false: exit status 1" in err
    run_fixes(fixes, Machine(uid=0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["anybody", "root"]
