"""A camera is found again by what it is, not by the number of its node."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from vcam.errors import SourceError
from vcam.linux.camera_identity import CameraId, find_again, identify
from vcam.linux.v4l2 import Node
from vcam.linux.videodev2 import V4L2_CAP_VIDEO_CAPTURE

BUS = "usb-0000:00:14.0-6"
OTHER_BUS = "usb-0000:00:14.0-2"


def node(path: str, card: str = "C920", bus: str = BUS, caps: int = V4L2_CAP_VIDEO_CAPTURE) -> Node:
    return Node(path, "uvcvideo", card, bus, caps)


CAMERA = CameraId("C920", BUS)


@pytest.mark.parametrize(
    ("nodes", "path"),
    [
        ([node("/dev/video0")], "/dev/video0"),
        ([node("/dev/video0", "Laptop", "usb-9"), node("/dev/video4")], "/dev/video4"),
        ([node("/dev/video4", caps=0), node("/dev/video5")], "/dev/video5"),
        ([node("/dev/video1", bus=OTHER_BUS), node("/dev/video2")], "/dev/video2"),
        ([node("/dev/video3", bus=OTHER_BUS)], "/dev/video3"),
    ],
    ids=["same", "another number", "not its metadata node", "same place first", "another place"],
)
def test_it_is_found(nodes: list[Node], path: str, tmp_path: Path) -> None:
    assert find_again(CAMERA, lambda: nodes, tmp_path) == path


@pytest.mark.parametrize(
    "nodes", [[], [node("/dev/video0", "Laptop")], [node("/dev/video0", bus=OTHER_BUS)]]
)
def test_another_camera_is_not_taken_for_it(nodes: list[Node], tmp_path: Path) -> None:
    camera = CameraId("C920", BUS, twins=frozenset({OTHER_BUS}))
    with pytest.raises(SourceError, match="C920: the camera is gone; plug it in"):
        find_again(camera, lambda: nodes, tmp_path)


def test_of_several_alike_the_one_that_udev_names_is_taken(tmp_path: Path) -> None:
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    paths = [tmp_path / f"video{number}" for number in (1, 2)]
    for path in paths:
        path.touch()
    link = by_id / "usb-046d_C920_1234-video-index0"
    link.symlink_to(paths[0])
    camera = identify(
        str(paths[0]), lambda: [node(str(paths[0])), node(str(paths[1]), "Laptop")], by_id
    )
    assert camera == CameraId("C920", BUS, link.name)
    link.unlink()
    link.symlink_to(paths[1])
    moved = [node(str(path), bus=f"{OTHER_BUS}.{i}") for i, path in enumerate(paths)]
    assert camera is not None
    assert find_again(camera, lambda: moved, by_id) == str(paths[1])


def test_the_sensor_that_it_was_is_taken_of_two_at_one_plug(tmp_path: Path) -> None:
    both = [node("/dev/video0"), node("/dev/video1", caps=0), node("/dev/video2")]
    for path in ("/dev/video0", "/dev/video2"):
        camera = identify(path, lambda: both, tmp_path)
        assert camera is not None
        assert find_again(camera, lambda: both, tmp_path) == path
        moved = [node("/dev/video6"), node("/dev/video7")]
        found = find_again(camera, partial(list, moved), tmp_path)
        assert found == ("/dev/video6" if path == "/dev/video0" else "/dev/video7")


def test_one_of_the_same_model_is_not_taken_where_udev_knows_them_apart(tmp_path: Path) -> None:
    camera = CameraId("C920", BUS, "usb-046d_C920_1234-video-index0")
    elsewhere = [node("/dev/video0", bus=OTHER_BUS)]
    with pytest.raises(SourceError, match="C920: the camera is gone"):
        find_again(camera, lambda: elsewhere, tmp_path)
    assert find_again(camera, lambda: elsewhere, tmp_path / "none") == "/dev/video0", "without udev"


def test_a_camera_by_its_link_is_identified_and_one_that_cannot_be_asked_is_not(
    tmp_path: Path,
) -> None:
    real, link = tmp_path / "video0", tmp_path / "link"
    real.touch()
    link.symlink_to(real)
    nodes = [node(str(real)), node(str(tmp_path / "video1"), bus=OTHER_BUS)]
    assert identify(str(link), lambda: nodes, tmp_path / "none") == CameraId(
        "C920", BUS, "", frozenset({OTHER_BUS})
    )
    assert (
        identify(str(real), lambda: [Node(str(real), problem="permission denied")], tmp_path)
        is None
    )
