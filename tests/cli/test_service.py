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
from vcam.linux.systemd import quote, unit_path, unit_text

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
