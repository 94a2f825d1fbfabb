"""The systemd unit, `vcam service`, and `vcam status` beside a run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_cli import Done, refused, vcam
from vcam.errors import UsageError
from vcam.linux.systemd import quote, unit_path, unit_text
from vcam.service.instances import Instance

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is a matter of Linux")

SYSTEMCTL = """#!/bin/sh
echo "$@" >> "$SYSTEMCTL_LOG"
exit ${SYSTEMCTL_STATUS:-0}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a systemctl in bin/ that writes down what it is asked for."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/systemctl").write_text(SYSTEMCTL)
    (tmp_path / "bin/systemctl").chmod(0o755)
    return tmp_path


def service(home: Path, *arguments: str, status: int = 0) -> Done:
    env = {
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        "XDG_CONFIG_HOME": str(home / "config"),
        "SYSTEMCTL_LOG": str(home / "log"),
        "SYSTEMCTL_STATUS": str(status),
    }
    return vcam("service", *arguments, cwd=home, env=env)


def asked(home: Path) -> list[str]:
    return (home / "log").read_text().splitlines() if (home / "log").exists() else []


def exec_start(home: Path) -> str:
    unit = (home / "config/systemd/user/vcam.service").read_text()
    return next(line for line in unit.splitlines() if line.startswith("ExecStart="))


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("--effect", "--effect"),
        ("blur:0.7", "blur:0.7"),
        ("image:my room.jpg", '"image:my room.jpg"'),
        ("100%", "100%%"),
        ("$HOME", "$$HOME"),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("color:#00ff00", '"color:#00ff00"'),
        ("a;b", '"a;b"'),
        ("", '""'),
    ],
)
def test_words_reach_the_program_as_they_were_typed(word: str, quoted: str) -> None:
    assert quote(word) == quoted


def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / "vcam.service"
    words = [
        sys.executable,
        "run",
        "--effect",
        "image:a b%c$d.jpg",
        "--effect",
        "color:#00ff00",
        'q"\\',
    ]
    path.write_text(unit_text(words, tmp_path))
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "SYSTEMD_LOG_LEVEL": "warning"}
    command = [analyze, "--user", "--man=no", "--recursive-errors=no", "verify", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert (
        done.returncode,
        [line for line in done.stderr.splitlines() if "vcam.service" in line],
    ) == (0, [])


def test_units_are_where_the_user_keeps_them() -> None:
    home = Path("/home/ada")
    assert unit_path("", home) == home / ".config/systemd/user/vcam.service"
    assert unit_path("/settings", home) == Path("/settings/systemd/user/vcam.service")


def test_install_writes_the_unit_and_starts_it(home: Path) -> None:
    done = service(home, "install", "--", "--effect", "image:my room.jpg", "--mirror")
    assert done.returncode == 0, done.stderr
    assert exec_start(home).endswith(' run --effect "image:my room.jpg" --mirror')
    assert exec_start(home).startswith("ExecStart=/")
    assert f"WorkingDirectory=-{home}\n" in (home / "config/systemd/user/vcam.service").read_text()
    assert asked(home) == [
        "--user daemon-reload",
        "--user enable vcam.service",
        "--user restart vcam.service",
    ]


def test_install_alone_asks_systemd_for_nothing(home: Path) -> None:
    done = service(home, "install", "--no-start")
    assert done.returncode == 0, done.stderr
    assert exec_start(home).endswith(" run")
    assert asked(home) == []


def test_a_mistake_in_the_options_is_told_at_once(home: Path) -> None:
    done = service(home, "install", "--", "--efect", "blur")
    assert done.returncode == 2
    assert "--efect" in done.stderr
    refused(service(home, "install", "--profile", "meeting"), "meeting")
    refused(service(home, "install", "--", "--effect", "blurr"), "unknown effect 'blurr'")
    assert not (home / "config").exists()


def test_install_with_a_profile(home: Path) -> None:
    settings = home / "config/vcam/config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text('[profile.meeting.run]\neffect = ["blur:0.5"]\n')
    assert service(home, "install", "--profile", "meeting").returncode == 0
    assert exec_start(home).endswith(" --profile meeting run")


@pytest.mark.parametrize(
    ("said", "word"), [('efect = ["blur"]', "'efect'"), ('effect = ["blurr"]', "'blurr'")]
)
def test_a_mistake_in_the_profile_is_told_at_once(home: Path, said: str, word: str) -> None:
    settings = home / "config/vcam/config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"[profile.meeting.run]\n{said}\n")
    refused(service(home, "install", "--profile", "meeting"), word)
    assert not (home / "config/systemd").exists()


@pytest.mark.slow
def test_uninstall_and_status(home: Path) -> None:
    refused(service(home, "uninstall"), "vcam.service", "nothing to uninstall")
    refused(service(home, "status"), "vcam service install")
    service(home, "install", "--no-start")
    assert service(home, "status", status=3).returncode == 3
    assert service(home, "uninstall").returncode == 0
    assert asked(home)[1:] == ["--user disable --now vcam.service", "--user daemon-reload"]
    assert not (home / "config/systemd/user/vcam.service").exists()


def test_a_systemctl_that_fails_or_is_not_there(home: Path) -> None:
    refused(service(home, "install", status=1), "systemctl --user daemon-reload", "failed")
    (home / "bin/systemctl").unlink()
    env = {"PATH": str(home / "bin"), "XDG_CONFIG_HOME": str(home / "config")}
    refused(vcam("service", "install", env=env), "needs systemd")


def hear(systemd: socket.socket, word: bytes) -> bytes:
    """The first datagram with that word in it; the kernel keeps ten unread ones and drops
    the rest.
    """
    while word not in (heard := systemd.recv(4096)):
        pass
    return heard


@pytest.mark.slow
def test_a_run_tells_systemd_and_other_terminals_how_it_is(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        env = {"XDG_RUNTIME_DIR": str(tmp_path), "NOTIFY_SOCKET": str(tmp_path / "notify")}
        assert vcam("status", env=env).returncode == 3
        command = [
            sys.executable,
            "-m",
            "vcam",
            "run",
            "-s",
            "demo",
            "-o",
            "null",
            "-e",
            "none",
            "--duration",
            "1000000",
        ]
        run = subprocess.Popen([*command, "--size", "64x64"], env={**os.environ, **env})
        try:
            assert b"WATCHDOG=1" in hear(systemd, b"READY=1")
            (record,) = json.loads(vcam("status", "--json", env=env).stdout)
            assert (record["pid"], record["source"], record["sink"]) == (run.pid, "demo", "null")
            assert record["frames"] > 0
            in_words = vcam("status", env=env)
            assert (in_words.returncode, in_words.stdout.split()[:4]) == (
                0,
                [str(run.pid), "demo", "->", "null"],
            )
            for _ in range(12):  # what came meanwhile, and one more
                hear(systemd, b"STATUS=")
            run.send_signal(signal.SIGTERM)
            hear(systemd, b"STOPPING=1")
            assert run.wait(30) == 0
        finally:
            run.kill()
            run.wait()
    assert vcam("status", env=env).stdout == "vcam does not run\n"


@pytest.mark.parametrize("character", [chr(n) for n in (*range(32), 127, 0x85, 0x2028, 0xDC80)])
def test_no_character_of_a_word_ends_the_line(character: str) -> None:
    quoted = quote(f"a{character}ExecStartPre=/usr/bin/touch x")
    assert quoted.isprintable()
    assert len(quoted.splitlines()) == 1


@pytest.mark.parametrize(
    "name", ["x\nExecStartPre=touch SOMEFILE", "x\r", "x\x1b[31m", "x ", "x\\", "x\x85y"]
)
def test_a_folder_that_systemd_cannot_be_told_is_refused(home: Path, name: str) -> None:
    folder = home / name
    folder.mkdir()
    with pytest.raises(UsageError, match="cannot start a service in a folder of this name"):
        unit_text(["/usr/bin/vcam"], folder)


def test_the_unit_is_for_its_user_alone(home: Path) -> None:
    address = "rtsp://me:secret@camera/1"
    assert service(home, "install", "--no-start", "--", "--source", address).returncode == 0
    unit = home / "config/systemd/user/vcam.service"
    assert "secret" in unit.read_text()
    assert unit.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("earlier", [None, "[Service]\n"])
def test_an_installation_that_fails_changes_nothing(home: Path, earlier: str | None) -> None:
    unit = home / "config/systemd/user/vcam.service"
    if earlier is not None:
        unit.parent.mkdir(parents=True)
        unit.write_text(earlier)
    assert service(home, "install", status=1).returncode == 2
    assert (unit.read_text() if unit.exists() else None) == earlier


def test_without_a_bus_the_unit_is_removed_all_the_same(home: Path) -> None:
    unit = home / "config/systemd/user/vcam.service"
    assert service(home, "install", "--no-start").returncode == 0
    wants = unit.parent / "graphical-session.target.wants"
    wants.mkdir()
    (wants / unit.name).symlink_to(unit)
    done = service(home, "uninstall", status=1)
    assert (done.returncode, unit.exists(), list(wants.iterdir())) == (0, False, [])
    assert "systemctl --user stop vcam.service" in done.stderr


RECORDS = [
    b"",
    b"{",
    b"[]",
    b"7",
    b'{"pid": true}',
    b'{"pid": "1"}',
    b"[" * 100_000,
    b'{"pid": 1, "updated": "now", "started": []}',
    b'{"pid": 1, "updated": 1e999}',
    b'{"pid": 1, "started": ' + b"9" * 400 + b"}",
    b"\xff\xfe",
    b" " * 2_000_000,
]


def _own_record(**changes: object) -> bytes:
    stat = Path(f"/proc/{os.getpid()}/stat").read_text()
    record: dict[str, object] = {
        "pid": os.getpid(),
        "start_ticks": int(stat.rpartition(")")[2].split()[19]),
        "state": "running",
        "source": "demo",
        "sink": "null",
        "effects": ["blur"],
        "engine": {},
        "fps": 30.0,
        "latency": {"p50_ms": 1.0, "p95_ms": 2.0},
        "drops": {},
        "seconds": 60.0,
    }
    return json.dumps({**record, **changes}).encode()


def test_status_survives_what_lies_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "vcam"
    folder.mkdir(mode=0o700)
    for at, content in enumerate(RECORDS):
        (folder / f"r{at}.json").write_bytes(content)
    (folder / "good.json").write_bytes(_own_record(sink="a\x1b]0;owned\x07\nb"))
    (folder / "odd.json").write_bytes(_own_record(latency=3, effects=None))
    (folder / "d.json").mkdir()
    os.mkfifo(folder / "f.json")
    (folder / "l.json").symlink_to("/dev/zero")
    (folder / "others.json").write_bytes(_own_record(sink="planted"))
    (folder / "others.json").chmod(0o666)
    env = {"XDG_RUNTIME_DIR": str(tmp_path)}
    done = vcam("status", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "demo -> a\\x1b]0;owned\\x07 b  " in done.stdout
    assert "does not say how it is" in done.stdout
    assert "planted" not in done.stdout
    assert "\x1b" not in done.stdout
    assert vcam("status", "--json", env=env).returncode == 0


def test_a_folder_that_others_may_write_to_gets_no_record(tmp_path: Path) -> None:
    folder = tmp_path / "vcam"
    folder.mkdir()
    folder.chmod(0o777)
    with Instance(folder) as instance:
        instance.write({"state": "running"})
        assert list(folder.iterdir()) == []


def test_setup_stays_inside_the_root_it_is_given(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (root / "etc").mkdir(parents=True)
    (root / "etc/modprobe.d").symlink_to(outside)
    done = vcam("setup", "--write", "--root", root)
    refused(done, "a link on the way leads out of")
    assert list(outside.iterdir()) == []
    assert not (root / "etc/modules-load.d").exists()
