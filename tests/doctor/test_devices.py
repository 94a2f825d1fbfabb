"""Every state that video devices and the programs around them can be in."""

from __future__ import annotations

from pathlib import Path

from tests.doctor.machines import CAMERA, HD, IDLE, LOADED, WRITTEN, commands, verdict_of
from vcam.linux.v4l2 import Mode, Node

DENIED = Node("/dev/video0", card="HD Webcam", problem="permission denied; join its group")


def test_a_container_sees_only_what_it_was_given(tmp_path: Path) -> None:
    assert verdict_of("container", tmp_path).state == "ok"
    verdict = verdict_of("container", tmp_path, {"run/.containerenv": ""})
    assert verdict.state == "warning"
    assert "--device /dev/video10" in verdict.reason
    assert verdict_of("container", tmp_path, nodes=(IDLE,)).state == "ok"


def test_a_user_who_may_not_open_a_device(tmp_path: Path) -> None:
    assert verdict_of("permissions", tmp_path).state == "skipped"
    assert verdict_of("permissions", tmp_path, nodes=(CAMERA,)).state == "ok"
    nodes = {"nodes": (DENIED, IDLE), "user": "ada"}
    verdict = verdict_of(
        "permissions", tmp_path, {"etc/group": "root:x:0:\nvideo:x:44:bob\n"}, **nodes
    )
    assert (verdict.state, commands(verdict)) == ("problem", ["sudo usermod -aG video ada"])
    assert "/dev/video0" in verdict.reason
    verdict = verdict_of("permissions", tmp_path, {"etc/group": "video:x:44:bob,ada\n"}, **nodes)
    assert "log out and in again" in verdict.reason
    assert commands(verdict) == []
    as_root = verdict_of("permissions", tmp_path, nodes=(CAMERA,), uid=0, user="ada")
    assert (as_root.state, "run `vcam doctor` without sudo" in as_root.reason) == ("unknown", True)
    verdict = verdict_of("permissions", tmp_path, groups=frozenset({"video"}), **nodes)
    assert "ls -l /dev/video0" in verdict.reason


def test_the_virtual_camera_and_who_holds_it(tmp_path: Path) -> None:
    assert verdict_of("virtual-camera", tmp_path).state == "problem"
    assert "none of its devices" in verdict_of("virtual-camera", tmp_path, LOADED).reason
    verdict = verdict_of(
        "virtual-camera", tmp_path, nodes=(IDLE,), holders={IDLE.path: ["firefox (12)"]}
    )
    assert (verdict.state, verdict.reason) == ("ok", "/dev/video10 vcam (held by firefox (12))")
    assert (
        verdict_of(
            "virtual-camera", tmp_path, nodes=(WRITTEN,), holders={IDLE.path: ["vcam (9)"]}
        ).state
        == "ok"
    )
    verdict = verdict_of(
        "virtual-camera", tmp_path, nodes=(WRITTEN,), holders={IDLE.path: ["obs (9)"]}
    )
    assert verdict.state == "warning"
    assert "obs (9)" in verdict.reason


def test_cameras_their_best_mode_and_who_holds_them(tmp_path: Path) -> None:
    assert verdict_of("cameras", tmp_path, nodes=(WRITTEN,)).reason.startswith(
        "no camera: plug one in"
    )
    refused = verdict_of("cameras", tmp_path, nodes=(DENIED, WRITTEN))
    assert (refused.state, "HD Webcam: permission denied" in refused.reason) == ("problem", True)
    held = {CAMERA.path: ["zoom (5)"]}
    verdict = verdict_of(
        "cameras", tmp_path, nodes=(CAMERA, IDLE), modes={CAMERA.path: HD}, holders=held
    )
    expected = "/dev/video0 HD Webcam: 1280x720 MJPG at 30 fps (held by zoom (5))"
    assert (verdict.state, verdict.reason) == ("ok", expected)
    slow = {CAMERA.path: [Mode("YUYV", 1280, 720, 10.0)]}
    verdict = verdict_of("cameras", tmp_path, nodes=(CAMERA,), modes=slow)
    assert verdict.state == "warning"
    assert "1280x720 YUYV at 10 fps" in verdict.reason
    assert "no known picture format" in verdict_of("cameras", tmp_path, nodes=(CAMERA,)).reason


def test_pipewire_with_and_without_its_session_manager(tmp_path: Path) -> None:
    assert verdict_of("pipewire", tmp_path, {"proc/1/comm": "systemd\n"}).state == "skipped"
    verdict = verdict_of("pipewire", tmp_path, {"proc/20/comm": "pipewire\n"})
    assert (verdict.state, commands(verdict)) == ("warning", ["systemctl --user start wireplumber"])
    assert verdict_of("pipewire", tmp_path, {"proc/21/comm": "wireplumber\n"}).state == "ok"


def test_a_program_that_was_once_refused_the_camera(tmp_path: Path) -> None:
    assert verdict_of("portal", tmp_path, home=tmp_path).state == "skipped"
    service = {"usr/share/dbus-1/services/org.freedesktop.portal.Desktop.service": ""}
    assert verdict_of("portal", tmp_path, service, home=tmp_path).state == "ok"
    store = tmp_path / ".local/share/flatpak/db/devices"
    store.parent.mkdir(parents=True)
    store.write_bytes(b"GVariant....camera\0org.mozilla.firefox\0yes\0\x04")
    assert verdict_of("portal", tmp_path, home=tmp_path).state == "ok"
    store.write_bytes(b"GVariant....camera\0org.mozilla.firefox\0no\0\x03")
    verdict = verdict_of("portal", tmp_path, home=tmp_path)
    assert (verdict.state, commands(verdict)) == (
        "warning",
        ["flatpak permission-remove devices camera"],
    )
