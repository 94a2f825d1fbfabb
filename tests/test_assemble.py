"""What a request becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vcam.assemble import RunRequest, build_run, open_matter
from vcam.errors import UsageError
from vcam.linux.viewers import LoopbackReaders
from vcam.masks import write_masks
from vcam.matting.auto import AutoMatter
from vcam.matting.matter import Matter


def request(**changes: Any) -> RunRequest:
    values: dict[str, Any] = {
        "source": "webcam",
        "sink": "/dev/video10",
        "effects": ("none",),
        "engine": "sinet_fp32",
        "engines": (),
        "backend": "onnxruntime",
        "threads": 1,
        "size": None,
        "fps": 30.0,
        "mirror": False,
        "grow_px": 0.0,
        "feather_px": 0.0,
        "duration_s": None,
        "overwrite": False,
        "face_engine": "none",
        "face_mesh": "none",
        "faces": 1,
    }
    return RunRequest(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "on_demand"),
    [
        ({}, True),
        ({"source": "webcam:/dev/video2"}, True),
        ({"always_on": True}, False),
        ({"source": "demo"}, False),  # a webcam may be chosen later
        ({"source": "rtsp://camera/1"}, False),
        ({"sink": "null"}, False),
    ],
)
def test_a_webcam_into_a_loopback_camera_is_opened_on_demand(
    changes: dict[str, Any], on_demand: bool
) -> None:
    parts = build_run(request(**changes))[0]._parts
    source = parts.make_source(parts.request)
    watched = parts.watch is LoopbackReaders and getattr(source, "on_demand", False)
    assert watched is on_demand


def _picture(path: Path) -> Path:
    cv2.imwrite(str(path), np.zeros((32, 32, 3), np.uint8))
    return path


@pytest.mark.parametrize("way", ["itself", "symbolic link", "hard link", "another spelling"])
@pytest.mark.parametrize("role", ["source", "effect"])
def test_a_run_never_replaces_what_it_reads(tmp_path: Path, way: str, role: str) -> None:
    photo = other = _picture(tmp_path / "photo.png")
    if way == "symbolic link":
        other = tmp_path / "link.png"
        other.symlink_to(photo)
    elif way == "hard link":
        other = tmp_path / "hard.png"
        other.hardlink_to(photo)
    elif way == "another spelling":
        other = tmp_path / "x" / ".." / "photo.png"
        (tmp_path / "x").mkdir()
    changes: dict[str, Any] = {"sink": str(other), "overwrite": True, "source": str(photo)}
    if role == "effect":
        changes |= {"source": "demo", "effects": (f"image:{photo}",)}
    with pytest.raises(UsageError, match="is read by this run and would be replaced"):
        build_run(request(**changes))


def test_a_folder_of_frames_is_not_replaced_by_what_it_gives(tmp_path: Path) -> None:
    frame = _picture(tmp_path / "frame_000003.png")
    with pytest.raises(UsageError, match="would be replaced"):
        build_run(request(source=str(frame), sink=f"{tmp_path}/", overwrite=True))
    build_run(request(source=str(_picture(tmp_path / "a.png")), sink=f"{tmp_path}/"))


@pytest.mark.parametrize("earlier", ["mask", "picture", "link"])
def test_masks_replace_neither_pictures_nor_masks(tmp_path: Path, earlier: str) -> None:
    out = tmp_path / "masks"
    out.mkdir()
    photo = _picture(tmp_path / "a.png")
    mask, pictures = out / "a.png", [photo]
    if earlier == "mask":
        mask.write_text("mine")
    elif earlier == "picture":  # of another folder, and just as much a picture of this run
        pictures.append(_picture(mask).rename(out / "b.png"))
        pictures[0] = photo.rename(tmp_path / "b.jpg")
    else:
        mask.symlink_to(photo)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def write(overwrite: bool) -> None:
        list(write_masks(lambda image: image[..., 0], pictures, out, overwrite))

    with pytest.raises(UsageError):
        write(overwrite=False)
    if earlier == "mask":
        write(overwrite=True)
        assert mask.read_bytes() != b"mine"
    else:
        with pytest.raises(UsageError):
            write(overwrite=True)
        assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("threads", "fps", "cores", "names"),
    [
        (0, 30.0, 2, ["sinet_fp32", "sinet_fp32, 2 threads"]),
        (0, 30.0, 1, []),
        (0, None, 2, []),
        (2, 30.0, 2, []),
    ],
)
def test_threads_are_open_if_there_are_cores_and_a_rate_to_keep(
    threads: int,
    fps: float | None,
    cores: int,
    names: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vcam.assemble.usable_cores", lambda: cores)
    made = open_matter("sinet_fp32", (), "onnxruntime", threads, fps=fps)
    found = [candidate.name for candidate in made.candidates] if names else []  # type: ignore[attr-defined]
    assert isinstance(made, AutoMatter if names else Matter)
    assert found == names


def test_openvino_is_tried_before_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr("vcam.assemble.usable_cores", lambda: 2)
    made = open_matter("sinet_fp32", (), "auto", 0, fps=30)
    assert isinstance(made, AutoMatter)
    assert [candidate.name for candidate in made.candidates] == [
        "sinet_fp32",
        "sinet_fp32 on openvino",
        "sinet_fp32, 2 threads",
        "sinet_fp32 on openvino, 2 threads",
    ]
