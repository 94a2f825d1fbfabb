"""Every state that the kernel module and its settings can be in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doctor.machines import (
    BOTH,
    CAMERA,
    GOOD_OPTIONS,
    IDLE,
    LOADED,
    OPTIONS,
    RELEASE,
    WRITTEN,
    commands,
    machine,
    verdict_of,
)
from vcam.doctor.module import free_number
from vcam.linux.loopback import Loopback
from vcam.linux.v4l2 import Node
from vcam.sinks.v4l2 import LOAD

DEP = f"lib/modules/{RELEASE}/modules.dep"
EFIVARS = "sys/firmware/efi/efivars"
SECURE_BOOT = f"{EFIVARS}/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
DEBIAN = {"etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\n'}
MINT = {"etc/os-release": '# made by hand\nID=linuxmint\nID_LIKE="ubuntu debian"\n'}
ARCH = {"etc/os-release": "ID=arch\n"}
UNHEARD_OF = {"etc/os-release": "ID=plan9\n"}


def test_a_loaded_module_is_well(tmp_path: Path) -> None:
    assert verdict_of("module", tmp_path, LOADED).state == "ok"


def test_a_module_that_is_installed_but_not_loaded(tmp_path: Path) -> None:
    files = {
        DEP: (
            "kernel/fs/fuse.ko:\nextra/v4l2loopback.ko.xz:"
            " kernel/drivers/media/v4l2-core/videodev.ko\n"
        )
    }
    verdict = verdict_of("module", tmp_path, files)
    assert verdict.state == "problem"
    assert "not loaded" in verdict.reason
    assert commands(verdict) == [LOAD]
    verdict = verdict_of("module", tmp_path, {OPTIONS: GOOD_OPTIONS})
    assert commands(verdict) == ["sudo modprobe v4l2loopback"]  # the options are in the file


@pytest.mark.parametrize(
    "where", ["var/lib/dkms/v4l2loopback/0.12.7/source", "usr/src/v4l2loopback-0.12.7/dkms.conf"]
)
def test_a_module_that_was_built_for_another_kernel(tmp_path: Path, where: str) -> None:
    verdict = verdict_of("module", tmp_path, {**DEBIAN, where: "", DEP: "kernel/fs/fuse.ko:\n"})
    assert verdict.state == "problem"
    assert RELEASE in verdict.reason
    assert "not built" in verdict.reason
    assert commands(verdict)[:2] == [
        f"sudo apt install v4l2loopback-dkms linux-headers-{RELEASE}",
        f"sudo dkms autoinstall -k {RELEASE}",
    ]
    verdict = verdict_of("module", tmp_path, {f"lib/modules/{RELEASE}/build/Makefile": ""})
    assert commands(verdict)[0] == f"sudo dkms autoinstall -k {RELEASE}"  # the headers are here


@pytest.mark.parametrize(
    ("files", "command"),
    [
        (DEBIAN, f"sudo apt install v4l2loopback-dkms linux-headers-{RELEASE}"),
        (MINT, f"sudo apt install v4l2loopback-dkms linux-headers-{RELEASE}"),
        (ARCH, "sudo pacman -S v4l2loopback-dkms linux-headers"),
        (UNHEARD_OF, LOAD),
    ],
)
def test_a_module_that_is_not_installed(
    tmp_path: Path, files: dict[str, str], command: str
) -> None:
    verdict = verdict_of("module", tmp_path, files)
    assert verdict.state == "problem"
    assert "not installed" in verdict.reason
    assert commands(verdict)[0] == command
    assert commands(verdict)[-1] == LOAD


def test_in_a_container_only_the_host_can_load_the_module(tmp_path: Path) -> None:
    verdict = verdict_of("module", tmp_path, {".dockerenv": "", **DEBIAN})
    assert (verdict.state, commands(verdict)) == ("unknown", [])


@pytest.mark.parametrize(
    ("files", "state", "words"),
    [
        ({"sys/module/v4l2loopback/version": "0.15.0"}, "ok", "0.15.0"),
        ({"sys/module/v4l2loopback/version": "v0.13.2-7-gabc"}, "ok", "0.13.2"),
        ({"sys/module/v4l2loopback/initstate": "live"}, "warning", "0.12 or older"),
        (
            {"sys/module/v4l2loopback/initstate": "live", "usr/src/v4l2loopback-0.12.7/x": ""},
            "warning",
            "0.12.7",
        ),
        (
            {"sys/module/v4l2loopback/initstate": "live", "usr/src/v4l2loopback-0.15.0/x": ""},
            "warning",
            "0.12 or",
        ),
        ({"usr/src/v4l2loopback-0.12.7/x": ""}, "warning", "0.12.7"),
        ({}, "skipped", "not here"),
    ],
)
def test_versions_before_0_13_are_a_warning(
    tmp_path: Path, files: dict[str, str], state: str, words: str
) -> None:
    verdict = verdict_of("module-version", tmp_path, files)
    assert verdict.state == state
    assert words in verdict.reason


def efi(root: Path, value: bytes) -> None:
    (root / EFIVARS).mkdir(parents=True)
    (root / SECURE_BOOT).write_bytes(b"\x06\0\0\0" + value)


def test_secure_boot_off_or_absent(tmp_path: Path) -> None:
    assert verdict_of("secure-boot", tmp_path).state == "ok"
    efi(tmp_path, b"\0")
    assert verdict_of("secure-boot", tmp_path).reason == "off"
    (tmp_path / SECURE_BOOT).unlink()
    assert verdict_of("secure-boot", tmp_path).state == "unknown"


def test_secure_boot_on(tmp_path: Path) -> None:
    efi(tmp_path, b"\1")
    verdict = verdict_of("secure-boot", tmp_path)
    assert verdict.state == "warning"
    assert commands(verdict) == [
        "sudo dkms generate_mok",
        "sudo mokutil --import /var/lib/dkms/mok.pub",
    ]
    assert all(fix.by_hand for fix in verdict.fixes)
    verdict = verdict_of("secure-boot", tmp_path, {"var/lib/shim-signed/mok/MOK.der": ""})
    assert commands(verdict) == ["sudo mokutil --import /var/lib/shim-signed/mok/MOK.der"]
    assert verdict_of("secure-boot", tmp_path, LOADED).state == "ok"


def test_exclusive_caps_of_the_nodes(tmp_path: Path) -> None:
    assert verdict_of("exclusive-caps", tmp_path, nodes=(IDLE,)).state == "skipped"
    for good in (IDLE, WRITTEN):
        assert verdict_of("exclusive-caps", tmp_path, LOADED, nodes=(good,)).state == "ok"
    verdict = verdict_of("exclusive-caps", tmp_path, nodes=(IDLE, BOTH))
    assert verdict.state == "ok"
    assert "exclusive_caps=0 for /dev/video11" in verdict.reason
    verdict = verdict_of(
        "exclusive-caps", tmp_path, nodes=(BOTH,), holders={BOTH.path: ["obs (77)"]}
    )
    assert verdict.state == "problem"
    assert "stop obs (77) first" in verdict.reason
    assert commands(verdict) == ["sudo modprobe -r v4l2loopback", LOAD]


@pytest.mark.parametrize(("flags", "state"), [("Y,N,N", "ok"), ("N,N,N", "problem")])
def test_exclusive_caps_where_no_node_can_be_asked(tmp_path: Path, flags: str, state: str) -> None:
    files = {**LOADED, "sys/module/v4l2loopback/parameters/exclusive_caps": flags}
    assert verdict_of("exclusive-caps", tmp_path, files).state == state


def test_options_for_the_next_start(tmp_path: Path) -> None:
    verdict = verdict_of("module-options", tmp_path)
    assert (verdict.state, commands(verdict)) == (
        "warning",
        ["sudo /opt/vcam/bin/vcam setup --write"],
    )
    assert verdict_of("module-options", tmp_path, {OPTIONS: GOOD_OPTIONS}).state == "ok"
    other = {
        "etc/modprobe.d/zz-obs.conf": "options v4l2loopback exclusive_caps=0\n"
    }  # the later file holds
    verdict = verdict_of("module-options", tmp_path, other)
    assert verdict.state == "warning"
    assert "remove that line" in verdict.reason
    assert "zz-obs.conf" in verdict.reason
    assert verdict_of("module-options", tmp_path, {".dockerenv": ""}).state == "skipped"


def test_loading_at_the_next_start(tmp_path: Path) -> None:
    verdict = verdict_of(
        "module-autoload", tmp_path, {"etc/modules-load.d/other.conf": "# v4l2loopback\nloop\n"}
    )
    assert (verdict.state, commands(verdict)) == (
        "warning",
        ["sudo /opt/vcam/bin/vcam setup --write"],
    )
    assert verdict_of("module-autoload", tmp_path, {"etc/modules": "v4l2loopback\n"}).state == "ok"


def test_a_number_that_another_device_has(tmp_path: Path) -> None:
    assert verdict_of("node-number", tmp_path, nodes=(CAMERA, IDLE)).state == "ok"
    decoder = Node("/dev/video10", "bcm2835-codec", "bcm2835-codec-decode", caps=1)
    encoder = Node("/dev/video11", "bcm2835-codec", "bcm2835-codec-encode", caps=1)
    verdict = verdict_of("node-number", tmp_path, nodes=(CAMERA, decoder, encoder))
    assert verdict.state == "problem"
    assert "/dev/video10 is bcm2835-codec-decode (bcm2835-codec)" in verdict.reason
    assert commands(verdict) == [
        "sudo /opt/vcam/bin/vcam setup --write --devices 1 --number 12 --overwrite",
        "sudo modprobe v4l2loopback",
    ]
    named = {
        OPTIONS: (
            'options v4l2loopback video_nr=10,11 card_label="Desk,Stage left" exclusive_caps=1,1\n'
        )
    }
    verdict = verdict_of("node-number", tmp_path, named, nodes=(decoder, encoder))
    wanted = (
        "sudo /opt/vcam/bin/vcam setup --write --label Desk --label 'Stage left' --number 12"
        " --overwrite"
    )
    assert commands(verdict)[0] == wanted
    assert (
        verdict_of(
            "node-number", tmp_path, {OPTIONS: "options v4l2loopback video_nr=42"}, nodes=(decoder,)
        ).state
        == "ok"
    )
    assert free_number(machine(tmp_path, nodes=(decoder,)), 2) == 11


def test_the_commands_here_are_those_of_the_sink() -> None:
    assert f"sudo {Loopback().load_command}" == LOAD
