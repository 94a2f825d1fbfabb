"""The settings file and the environment: every long option by its own name, and nothing else
unnoticed.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.cli.test_cli import Done, refused, vcam
from vcam.cli.app import app
from vcam.config import Known, read_defaults
from vcam.errors import UsageError

KNOWN = Known({}, {"run": Known({"size": False, "effect": True, "face_engine": False}, {})})


def settings(folder: Path, text: str) -> Path:
    file = folder / "settings.toml"
    file.write_text(text)
    return file


def with_settings(folder: Path, text: str, *arguments: object) -> Done:
    return vcam("--config", settings(folder, text), *arguments, cwd=folder)


def commands(command: Any) -> Iterator[Any]:
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from commands(below)


def test_every_option_is_called_as_it_is_typed() -> None:
    options = [each for command in commands(typer.main.get_command(app)) for each in command.params]
    named = {each.name: each.opts for each in options if each.param_type_name == "option"}
    assert len(named) > 30
    for name, typed in named.items():
        assert f"--{name.replace('_', '-')}" in typed


def test_flags_are_set_by_file_and_environment(tmp_path: Path) -> None:
    assert set(
        json.loads(with_settings(tmp_path, "[devices]\njson = true\n", "devices").stdout)
    ) == {
        "cameras",
        "virtual_cameras",
    }
    assert json.loads(vcam("engines", env={"VCAM_ENGINES_JSON": "1"}).stdout)
    refused(
        with_settings(tmp_path, "[bench]\nall = true\n", "bench", "--pipeline"),
        "--all",
        "--pipeline",
    )
    assert vcam("devices", env={"VCAM_VERSION": "0.3"}).stdout.startswith("Cameras")


def test_verbose_is_a_setting_too(tmp_path: Path) -> None:
    done = with_settings(
        tmp_path,
        "[run]\nverbose = true\n",
        "run",
        "-s",
        "demo",
        "-o",
        "null",
        "--duration",
        0.1,
        "--engine",
        "sinet",
    )
    assert done.stderr.startswith("vcam: sinet_fp32 by ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[run]\nsiez = "64x64"', "unknown key 'siez' in [run]; did you mean 'size'?"),
        (
            '[run]\nface_egine = "a"',
            "unknown key 'face_egine' in [run]; did you mean 'face-engine'?",
        ),
        ("[run]\nzzz = 1", "unknown key 'zzz' in [run]; known: size, effect, face-engine"),
        ('[rum]\nsize = "64x64"', "unknown table 'rum'; did you mean 'run'?"),
        (
            '[profile.a.run]\nsiez = "64x64"',
            "unknown key 'siez' in [profile.a.run]; did you mean 'size'?",
        ),
        ('effect = ["blur"]', "'effect' is not a table; write options below [run]"),
        (
            "[run.size]\nwidth = 64",
            "'run.size' is an option and no table; write size = VALUE in [run]",
        ),
        ('profile = "a"', "'profile' is not a table; write [profile.NAME.run]"),
        ("[profile]\na = 1", "'profile.a' is not a table"),
    ],
)
def test_what_is_not_known_is_named_with_what_may_have_been_meant(
    tmp_path: Path, text: str, words: str
) -> None:
    file = settings(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        read_defaults(file, None, KNOWN)
    assert str(caught.value).startswith(f"{file}: {words}")
    assert "\n" not in str(caught.value)


def test_a_profile_lies_over_the_file(tmp_path: Path) -> None:
    file = settings(
        tmp_path,
        '[run]\nsize = "64x64"\nface-engine = "a"\n[profile.b.run]\neffect = "blur"\nface_engine ='
        ' "b"\n',
    )
    assert read_defaults(file, None, KNOWN) == {"run": {"size": "64x64", "face_engine": "a"}}
    assert read_defaults(file, "b", KNOWN) == {
        "run": {"size": "64x64", "effect": ["blur"], "face_engine": "b"}
    }


def test_a_run_with_an_unknown_setting_ends_before_it_makes_anything(tmp_path: Path) -> None:
    """As a service: the status is one after which systemd does not start it again, and systemd
    hears of no picture.
    """
    file = settings(tmp_path, '[run]\nsiez = "64x64"\n')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "XDG_RUNTIME_DIR": str(tmp_path)}
        done = vcam(
            "--config",
            file,
            "run",
            "-s",
            "demo",
            "-o",
            tmp_path / "out.mp4",
            "--duration",
            0.1,
            env=env,
        )
        refused(done, str(file), "'siez'", "'size'")
        assert done.returncode == 2
        with pytest.raises(BlockingIOError):
            systemd.recv(1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notify", "settings.toml"]
