"""Folders and patterns of files: what is found, how results are called, what is skipped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.cli.test_cli import vcam, video_info
from vcam.assemble import RunRequest, build_run
from vcam.batch import find_files, is_batch
from vcam.errors import UsageError
from vcam.sinks.recording import RecordingSink

CASES = Path(__file__).parent / "cases"


@pytest.fixture
def holiday(tmp_path: Path) -> Path:
    folder = tmp_path / "holiday"
    (folder / "day two").mkdir(parents=True)
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 255, (31, 45, 3), np.uint8))
    for name in ("IMG_1.PNG", "IMG_1.jp2", "b.webp", "day two/c.tiff", ".hidden.png", "._b.png"):
        kind = {"jp2": "JPEG2000", "tiff": "TIFF", "webp": "WEBP"}.get(name.split(".")[-1], "PNG")
        picture.save(folder / name, kind)
    (folder / "Thumbs.db").write_text("x")
    (folder / "x.cr2").write_bytes(b"II*\0\x10\0\0\0CR\2\0" + bytes(40))
    shutil.copy(CASES / "gif_last_picture_1.6s.gif", folder / "dance.gif")
    return folder


def length_s(path: Path) -> float:
    with av.open(str(path)) as container:
        return (container.duration or 0) / 1e6


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_what_a_folder_and_a_pattern_mean(holiday: Path) -> None:
    inside = ["IMG_1.PNG", "IMG_1.jp2", "b.webp", "dance.gif", "x.cr2"]
    assert [str(name) for _, name in find_files(str(holiday), recursive=False)] == inside
    deep = [str(name) for _, name in find_files(str(holiday), recursive=True)]
    assert sorted(deep) == sorted([*inside, "day two/c.tiff"])
    assert [str(name) for _, name in find_files(f"{holiday}/IMG*", recursive=False)] == inside[:2]
    assert is_batch(str(holiday))
    assert is_batch(f"{holiday}/*.png")
    (holiday / "odd[1].png").write_bytes(b"x")
    assert not is_batch(str(holiday / "odd[1].png"))
    assert not is_batch("https://example.org/?v=*")
    with pytest.raises(UsageError, match="no pictures or films there"):
        find_files(f"{holiday}/*.mkv", recursive=False)


def test_every_file_of_a_folder_keeps_its_name_and_a_bad_one_stops_nothing(
    holiday: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ("run", "-s", f"{holiday}/", "-e", "none", "-o", f"{out}/", "--recursive", "--json")
    done = vcam(*arguments)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "skipped" in done.stderr
    assert "x.cr2: camera raw files cannot be read" in done.stderr
    assert names(out) == ["IMG_1.PNG", "IMG_1.png", "b.webp", "dance.mp4", "day two/c.tiff"]
    before, after = (np.asarray(Image.open(f / "IMG_1.PNG")) for f in (holiday, out))
    assert np.array_equal(before, after)
    assert length_s(out / "dance.mp4") == pytest.approx(2.0, abs=0.01)
    report = json.loads(done.stdout)
    assert len(report["files"]) == 5
    assert [Path(one["source"]).name for one in report["skipped"]] == ["x.cr2"]
    again = vcam(*arguments)
    assert again.returncode == 2
    assert "exists" in again.stderr
    (holiday / "x.cr2").unlink()
    verbose = vcam(*arguments, "-y", "-v")
    assert verbose.returncode == 0
    assert "4 pictures and 1 film in" in verbose.stderr


def test_results_between_the_sources_are_no_sources(holiday: Path) -> None:
    (holiday / "x.cr2").unlink()
    (holiday / "dance.gif").unlink()
    for _ in range(2):
        done = vcam(
            *("run", "-s", holiday, "-e", "none", "-o", f"{holiday}/out/", "--recursive", "-y")
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert len(names(holiday / "out")) == 4
    for sink in (holiday, "one.png"):
        refused = vcam("run", "-s", holiday, "-e", "none", "-o", sink, "-y")
        assert refused.returncode == 2, sink


def test_a_loop_goes_on_for_as_long_as_it_is_told(tmp_path: Path) -> None:
    source = CASES / "video_with_sound.mp4"
    done = vcam("run", "-s", source, "--loop", "-e", "none", "-o", tmp_path / "never.mp4")
    assert done.returncode == 2
    assert "--duration" in done.stderr
    out = tmp_path / "out.mkv"
    done = vcam("run", "-s", source, "--loop", "--duration", 5, "-e", "none", "-o", out)
    assert done.returncode == 0, done.stderr
    assert video_info(out)[0] == 150
    assert length_s(out) == pytest.approx(5.0, abs=0.05)


@pytest.mark.parametrize("loop", [False, True])
def test_a_file_for_viewers_says_that_it_has_ended_or_goes_on(loop: bool) -> None:
    source = str(CASES / "phone_hlg_bt2020_10bit.mov")  # 0.8 s
    sink = RecordingSink(live=True)
    request = RunRequest(source, "null", ("none",), loop=loop, duration_s=2.0 if loop else None)
    pipeline, _ = build_run(request, own_sink=sink)
    pipeline.run()
    assert pipeline.has_played_out
    times = [frame.pts_ns for frame in sink.frames]
    assert (max(times) > 1.5e9) is loop
