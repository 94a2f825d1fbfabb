"""Plans on disk: found again only where they fit, whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vcam.backends.plans import PlanKey, PlanStore
from vcam.errors import EngineError

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")

KEY = PlanKey("sinet", "ab" * 32, "tensorrt", "11.4.0", "sm_89", "fp16", (224, 320))


def test_a_plan_is_kept_and_found(tmp_path: Path) -> None:
    store = PlanStore(tmp_path / "deep" / "plans")
    assert store.load(KEY) is None
    path = store.save(KEY, b"plan")
    assert store.load(KEY) == b"plan"
    assert path.name == "sinet_fp16-320x224-abababababababab-tensorrt-11.4.0-sm_89.plan"
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    store.save(KEY, b"other")
    assert store.load(KEY) == b"other"


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, onnx_sha256="cd" * 32),
        replace(KEY, flavour="tensorrt_rtx"),
        replace(KEY, version="11.4.1"),
        replace(KEY, architecture="sm_86"),
        replace(KEY, precision="fp32"),
        replace(KEY, size=(320, 224)),
        replace(KEY, model="portraitnet"),
    ],
)
def test_whatever_a_plan_depends_on_is_in_its_name(tmp_path: Path, other: PlanKey) -> None:
    store = PlanStore(tmp_path)
    store.save(KEY, b"plan")
    assert store.load(other) is None


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-1], lambda d: b"", lambda d: d[:-1] + b"\0", lambda d: b"x" * 99]
)
def test_a_damaged_plan_is_no_plan(tmp_path: Path, damage: type[bytes]) -> None:
    store = PlanStore(tmp_path)
    path = store.save(KEY, b"plan")
    path.write_bytes(damage(path.read_bytes()))
    assert store.load(KEY) is None


def test_a_write_that_fails_leaves_what_was(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(EngineError, match=r"\.plan: .*XDG_CACHE_HOME"):
        PlanStore(file / "plans").save(KEY, b"plan")
    store = PlanStore(tmp_path)
    store.path(KEY).mkdir()  # cannot be replaced by a file
    with pytest.raises(EngineError, match=r"\.plan"):
        store.save(KEY, b"plan")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["file", store.path(KEY).name])


def test_a_refusal_lasts_until_the_next_plan(tmp_path: Path) -> None:
    store = PlanStore(tmp_path)
    assert store.refusal(KEY) is None
    store.save(KEY, b"plan")
    store.refuse(KEY, "the card is too old")
    assert store.load(KEY) is None
    assert store.refusal(KEY) == "the card is too old"
    store.save(KEY, b"plan")
    assert store.refusal(KEY) is None


@posix
@pytest.mark.parametrize(
    "whose",
    ["folder 0777", "folder 0750", "plan 0666", "plan 0644", "plan is a link", "folder is a link",
     "plan is a pipe", "folder of another user", "plan of another user"],
)  # fmt: skip
def test_a_plan_that_is_not_this_users_alone_is_not_read(tmp_path: Path, whose: str) -> None:
    """A plan is code; so is a refusal not believed."""
    store = PlanStore(tmp_path / "plans")
    plan = store.save(KEY, b"plan")
    refusing = PlanStore(tmp_path / "refusing")
    refusing.refuse(KEY, "too old")
    refusal = next((tmp_path / "refusing").iterdir())
    assert (store.load(KEY), refusing.refusal(KEY)) == (b"plan", "too old")
    for path in (plan, refusal):
        what, _, how = whose.partition(" ")
        thing = path if what == "plan" else path.parent
        if how == "is a link":
            thing.rename(tmp_path / f"real {path.name}")
            thing.symlink_to(tmp_path / f"real {path.name}")
        elif how == "is a pipe":
            thing.unlink()
            os.mkfifo(thing)
        elif how == "of another user":
            if os.geteuid() != 0:
                pytest.skip("only root can give files away")
            os.chown(thing, 65534, 65534)
        else:
            thing.chmod(int(how, 8))
    assert (store.load(KEY), refusing.refusal(KEY)) == (None, None)


@posix
def test_what_is_written_is_this_users_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = PlanStore(tmp_path / "cache" / "plans")
        path = store.save(KEY, b"plan")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(x.stat().st_mode) for x in (path.parent, path)]
    assert modes == [0o700, 0o600]
    path.parent.chmod(0o755)  # as an older vcam left it: its own, so it is used again
    store.save(KEY, b"new")
    assert store.load(KEY) == b"new"


@posix
def test_nothing_is_written_where_others_may_write(tmp_path: Path) -> None:
    store = PlanStore(tmp_path / "plans")
    store.folder.mkdir()
    store.folder.chmod(0o777)
    with pytest.raises(EngineError, match="may be written to by others"):
        store.save(KEY, b"plan")
    assert list(store.folder.iterdir()) == []
