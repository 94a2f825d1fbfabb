"""Commands that change a running vcam: a real run, its settings file, what a hotkey loads."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.control.runs import until
from vcam.cli.quick import set_values
from vcam.control.lines import ask
from vcam.control.settings import Settings, Watch, located
from vcam.control.wanted import changed, wanted_of
from vcam.errors import UsageError

LIGHT = """
import sys
sys.argv = ["vcam", *{words!r}]
try:
    import vcam.cli
    vcam.cli.main()
except SystemExit as end:
    heavy = {{"cv2", "numpy", "onnxruntime", "typer", "rich", "asyncio", "starlette", "av"}}
    print(end.code, sorted(heavy & set(sys.modules)))
"""


class Shell:
    """Commands of one user, whose folders are all below `home`."""

    def __init__(self, home: Path) -> None:
        names = ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")
        self.env = {**os.environ, **{name: str(home / name) for name in names}, "BROWSER": "true"}
        self.config = home / "XDG_CONFIG_HOME" / "vcam" / "config.toml"
        self.config.parent.mkdir(parents=True)
        (home / "XDG_RUNTIME_DIR").mkdir(mode=0o700)

    def __call__(self, *words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "vcam", *words]
        done = subprocess.run(
            command, env=self.env, capture_output=True, text=True, timeout=100, check=False
        )
        return done.returncode, (done.stdout + done.stderr).strip()

    def until(self, condition: Callable[[str], bool], *words: str) -> str:
        deadline_s = time.monotonic() + 60
        while not condition(said := self(*words)[1]):
            assert time.monotonic() < deadline_s, said
            time.sleep(0.2)
        return said


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    shell.config.write_text("# mine\n[run]\nfeather = 1 # soft\n")
    words = ["run", "--source", "pattern", "--sink", "page", "--engine", "sinet", "--fps", "10"]
    command = [sys.executable, "-m", "vcam", *words, "--size", "160x96", "--mirror"]
    run = subprocess.Popen(command, env=shell.env, stderr=subprocess.PIPE, text=True)
    try:
        shell.until(lambda said: "running" in said, "status")
        yield shell
        assert shell("stop") == (0, "")
        assert run.wait(30) == 0
    finally:
        run.kill()
        run.communicate()


@pytest.mark.slow
def test_a_run_is_changed_from_another_terminal(shell: Shell, tmp_path: Path) -> None:
    assert shell("set", "color=red", "blur=off") == (0, "color:color=#ff0000 mirror")
    assert shell("toggle", "mirror") == (0, "color:color=#ff0000")
    assert shell("pause")[1].endswith("paused")
    shell.until(lambda said: "paused" in said, "status")
    assert shell("resume")[0] == 0
    shell.until(lambda said: "running" in said, "status")
    picture = tmp_path / "sent.png"
    assert shell("snapshot", str(picture)) == (0, f"wrote {picture}")
    red, green, blue = Image.open(picture).convert("RGB").getpixel((3, 3))  # type: ignore[misc]
    assert red > 200
    assert max(green, blue) < 60
    assert shell("snapshot", str(picture))[0] == 2, "a file that exists is kept"
    for words, reason in (
        (("set", "blur=7"), "not a number from 0 to 1"),
        (("set", "color=off"), "write none=on to show it"),
        (("set", "image=missing.png"), "missing.png"),
        (("set", "nonsense"), "write KEY=VALUE"),
        (("profile", "use", "meeting"), "no profile 'meeting'"),
        (("profile", "save", "../../x"), "use up to 40 letters"),
    ):
        status, said = shell(*words)
        assert status in (1, 2)
        assert reason in said
        assert "\n" not in said
    assert "* color" in shell("effects")[1]
    assert "#ticket=" in shell("ui", "--no-open")[1]

    assert shell("profile", "save", "meeting")[0] == 0
    assert shell.config.read_text().startswith("# mine\n[run]\nfeather = 1 # soft\n")
    assert shell("profile", "list") == (0, "meeting")
    shell("set", "blur=0.2", "color=off")
    assert shell("profile", "use", "meeting") == (0, "color:color=#ff0000")

    shell.config.write_text(shell.config.read_text().replace("feather = 1", "feather = 3"))
    folder = Path(shell.env["XDG_RUNTIME_DIR"]) / "vcam"
    assert until(lambda: ask(folder, "about")["wanted"]["feather"] == 3)
    broken = shell.config.read_text().replace("[run]", "[run]\nfeathr = 2")
    shell.config.write_text(broken)
    said = shell.until(lambda said: "settings file" in said, "status")
    assert f"{shell.config}:3: unknown key 'feathr' in [run]; did you mean 'feather'?" in said
    assert "previous settings stay in effect" in said
    assert "running" in said
    shell.config.write_text(broken.replace("feathr = 2\n", "mirror = false\n"))
    shell.until(lambda said: "settings file" not in said, "status")


@pytest.mark.parametrize(
    "words",
    ["set blur.strength=0.7", "toggle teeth", "pause", "resume", "snapshot me.png", "stop",
     "profile use meeting", "effects"],
)  # fmt: skip
def test_a_hotkey_loads_next_to_nothing(tmp_path: Path, words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT.format(words=words.split())],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    *listed, said = done.stdout.strip().splitlines()
    if words == "effects":
        assert said == "0 []", done.stderr
        assert any("blur" in line for line in listed)
        return
    assert said == "2 []", done.stderr
    assert "no vcam runs that could be changed; start one with `vcam run`" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("where", ["/dev/full", "a pipe without a reader"])
def test_an_answer_that_cannot_be_printed_is_one_line_at_most(tmp_path: Path, where: str) -> None:
    if where == "/dev/full":
        out = os.open(where, os.O_WRONLY)
    else:
        reader, out = os.pipe()
        os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "vcam", "effects"],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(out)
    assert done.returncode == 1
    expected = "vcam: standard output: No space left on device; the answer is lost\n"
    assert done.stderr == (expected if where == "/dev/full" else "")


def test_words_are_checked_before_a_run_is_asked() -> None:
    with pytest.raises(UsageError, match="'blur' is no change; write KEY=VALUE"):
        set_values(["blur"])


def test_the_settings_file_is_watched_below_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    said: dict[str, object] = {"effect": ["blur"], "feather": 2.0}
    settings = Settings(path, lambda _: said, {"feather": 5.0})
    watch = Watch(settings)
    assert watch.look() is None
    path.write_text("changed")
    said = {"effect": ["color:red", "teeth"], "mirror": True, "feather": 9.0}
    changes = watch.look()
    assert changes == {"effects": ["teeth", "color:color=#ff0000"], "mirror": True}
    assert changed(wanted_of({}), changes).mirror
    path.write_text("changed back")
    said = {}
    assert watch.look() == {"effects": ["blur"], "mirror": False}


def test_a_message_gets_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[run]\n# effect\neffect = ['blurr']\n\n[profile.a.run]\nfps = 1\n")
    assert located(path, "unknown effect 'blurr'; known: blur") == (
        f"{path}:3: unknown effect 'blurr'; known: blur"
    )
    assert located(path, f"{path}: not TOML (x at line 9)") == f"{path}: not TOML (x at line 9)"
    assert located(path, "something else") == f"{path}: something else"


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """`vcam config edit` with an editor that is a shell script; `$1` is the copy that it edits."""
    shell = Shell(tmp_path)
    shell.env.pop("VISUAL", None)

    def edited(script: str) -> tuple[int, str]:
        editor = tmp_path / "my editor"
        editor.write_text(f"#!/bin/sh\nset -e\nconfig='{shell.config}'\n{script}\n")
        editor.chmod(0o755)
        return Shell.__call__(shell, "config", "edit")

    shell.env["EDITOR"] = f"'{tmp_path / 'my editor'}'"
    edited.config = shell.config  # type: ignore[attr-defined]
    return edited


@pytest.mark.skipif(sys.platform == "win32", reason="editors are shell scripts here")
def test_the_settings_file_is_edited_as_a_copy(edit: Callable[..., tuple[int, str]]) -> None:
    config: Path = edit.config  # type: ignore[attr-defined]
    rejected = config.with_name("config.toml.rejected")
    assert edit('grep -q effect "$1"; echo \'groww = 2\' >> "$1"')[0] == 2
    assert "groww = 2" in rejected.read_text()
    assert not config.exists()
    status, said = edit("printf '[run]\\ngrow = 2 # mine\\n' > \"$1\"")
    assert (status, said) == (0, f"wrote {config}")
    assert config.read_text() == "[run]\ngrow = 2 # mine\n"
    config.chmod(0o600)
    right = config.read_text()
    for script, reason in (
        ("true", "unchanged"),
        ("exit 3", "ended with status 3, nothing is changed"),
        ("echo 'grow = 999' > \"$1\"", "what you wrote is kept in"),
        ("echo '[run' > \"$1\"", "what you wrote is kept in"),
        ('printf \'[run]\\neffect = ["blurr"]\\n\' > "$1"', "blurr"),
        ("printf '\\377\\376' > \"$1\"", "UTF-8"),
        ('rm "$1"', "the editor removed its copy"),
    ):
        status, said = edit(script)
        assert status == (0 if script == "true" else 2), said
        assert reason in said
        assert "\n" not in said
        assert "/tmp/tmp" not in said, "the copy is gone"
        assert config.read_text() == right
    other = "[run]\nfeather = 2\n"
    change = f"printf '{other}' > \"$config\"; echo 'mirror = true' >> \"$1\""
    status, said = edit(change)
    assert status == 2
    assert "changed while you edited it; what you wrote is kept in" in said
    assert config.read_text() == other
    assert rejected.read_text() == right + "mirror = true\n"
    real = config.with_name("dotfiles.toml")
    config.replace(real)
    config.symlink_to(real)
    real.chmod(0o640)
    assert edit("echo 'grow = 3' >> \"$1\"")[0] == 0
    assert config.is_symlink()
    assert real.read_text() == other + "grow = 3\n"
    assert real.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("pid", [str(os.getpid()), "999999999", "page", "1" * 40])
def test_a_run_into_a_file_says_that_it_is_not_changed(tmp_path: Path, pid: str) -> None:
    (tmp_path / f"{pid}.json").write_text("{}")
    lives = pid == str(os.getpid())
    reason = "writes files or nothing, and keeps its settings" if lives else "no vcam runs that"
    with pytest.raises(UsageError, match=reason):
        ask(tmp_path, "set", changes={"blur": 0.2})
