"""A virtual machine with a loopback camera and a test camera, which runs programs of this checkout.

The guest is a Debian kernel under QEMU's software emulation. Its files are the host's, read-only,
under a RAM disk, so what runs in it is this very checkout with this very Python; what it writes is
gone afterwards. Emulation is ten to twenty times slower than the machine: keep pictures small,
limits generous, and measure no speed.

    /dev/video10  v4l2loopback, labelled "vcam", exclusive_caps=1, as the README loads it
    /dev/video11  v4l2loopback, labelled "plain", exclusive_caps=0
    /dev/video20  vivid, a camera that draws a test pattern and can be told to fail
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

LOOPBACK_OPTIONS = "devices=2 video_nr=10,11 card_label=vcam,plain exclusive_caps=1,0"
VIVID_OPTIONS = "n_devs=1 node_types=0x1 vid_cap_nr=20 input_types=0"
LOOPBACKS = {"0.12.7": "bookworm", "0.13.2": "bookworm-backports", "0.15.0": "trixie"}
"""Versions of v4l2loopback and the Debian suites that have them. The first is the one that most
users have.
"""
_SOURCE = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {} {} main\n"
_MODULES = ("9p", "9pnet_virtio", "virtio_pci", "overlay", "videodev", "vivid")
_TOOLS = (
    "apt-get",
    "busybox",
    "cpio",
    "depmod",
    "dpkg",
    "gcc",
    "make",
    "modprobe",
    "qemu-system-x86_64",
)
_INSTALL = "run tests/e2e/install-vm as root"


class VmUnavailableError(Exception):
    """This machine cannot boot the virtual machine; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a program did in the guest: its exit status, None where the time was over or the guest
    crashed.
    """

    status: int | None
    output: str


@dataclass(frozen=True, slots=True)
class Vm:
    """A kernel and an initial RAM disk, ready to boot.

    loopback_version: of the v4l2loopback module inside, for instance "0.12.7".
    """

    kernel: Path
    initramfs: Path
    loopback_version: str

    def run(self, command: Sequence[str], *, timeout_s: float, memory_mb: int = 4096) -> Result:
        """Boot, run a program in the root of the checkout, and switch off.

        Args:
            command: the program and its arguments; stdout and stderr come back together.
            timeout_s: for booting and running together.
            memory_mb: of the guest; half of it is the RAM disk.
        """
        with tempfile.TemporaryDirectory(prefix="vcam-vm-") as folder:
            job, serial = Path(folder, "job"), Path(folder, "serial")
            job.write_text(
                "export HOME=/run TMPDIR=/run VCAM_IN_VM=1\nexport"
                f" PATH={shlex.quote(os.environ['PATH'])} PYTHONPATH={shlex.quote(str(ROOT))}\ncd"
                f" {shlex.quote(str(ROOT))}\nexec {shlex.join(command)}\n"
            )
            machine = self._qemu(job, serial, memory_mb)
            try:
                subprocess.run(machine, stdin=subprocess.DEVNULL, check=True, timeout=timeout_s)
            except subprocess.TimeoutExpired:
                return Result(None, f"{_read(serial)}\nvm: not finished after {timeout_s:g} s")
            output = _read(serial)
        found = re.search(r"^vm-status: (\d+)$", output, re.MULTILINE)
        return Result(int(found[1]) if found else None, output)

    def _qemu(self, job: Path, serial: Path, memory_mb: int) -> list[str]:
        share = "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"
        append = f"console=ttyS0 quiet loglevel=3 panic=-1 vcam.job={job}"
        options = (
            f"-accel tcg,thread=multi,tb-size=1024 -cpu max -smp 2 -m {memory_mb} -no-reboot"
            " -display none"
        )
        files = ["-kernel", str(self.kernel), "-initrd", str(self.initramfs), "-append", append]
        monitor = ["-monitor", "none", "-serial", f"file:{serial}"]
        return ["qemu-system-x86_64", *options.split(), *files, "-virtfs", share, *monitor]


def prepare(loopback: str = "0.12.7", cache: Path | None = None) -> Vm:
    """Build what is missing in the cache folder; the first time takes a minute and downloads 70 MB.

    Args:
        loopback: version of v4l2loopback, one of `LOOPBACKS`.
        cache: folder to keep the kernel and the modules in.

    Raises:
        VmUnavailableError: the machine lacks a tool or package, or a step failed.
    """
    version = _kernel_version()
    cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "vcam-vm")
    root = cache / version
    kernel, module = (
        root / f"boot/vmlinuz-{version}",
        root / f"v4l2loopback-{loopback}/v4l2loopback.ko",
    )
    if not kernel.exists():
        _unpack(root, f"linux-image-{version}")
        _do(["depmod", "--basedir", str(root), version])
    if not module.exists():
        _build_loopback(module, version, loopback)
    return Vm(kernel, _build_initramfs(root, version, module), loopback)


def _kernel_version() -> str:
    """The newest kernel whose headers are installed.

    Raises:
        VmUnavailableError: there is none, or a tool is missing.
    """
    if platform.machine() != "x86_64":
        raise VmUnavailableError(f"the virtual machine is for x86_64, this is {platform.machine()}")
    missing = [tool for tool in _TOOLS if shutil.which(tool, path=_path()) is None]
    if missing:
        raise VmUnavailableError(f"{', '.join(missing)} not installed; {_INSTALL}")
    found = [
        re.fullmatch(r"linux-headers-(\d.*\d-amd64)", path.name)
        for path in Path("/usr/src").iterdir()
    ]
    versions = [match[1] for match in found if match]
    if not versions:
        raise VmUnavailableError(f"no kernel headers in /usr/src; {_INSTALL}")
    return max(versions, key=lambda version: [int(part) for part in re.findall(r"\d+", version)])


def _unpack(folder: Path, package: str, suite: str = "") -> None:
    """Download a Debian package, of another suite than the machine's where one is named, and unpack
    it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vcam-vm-") as download:
        apt = ["apt-get", "-q"]
        if suite:
            apt += _lists_of(suite, Path(download))
            _do([*apt, "update"])
        _do([*apt, "download", package], cwd=Path(download))
        (archive,) = Path(download).glob("*.deb")
        _do(["dpkg", "--extract", str(archive), str(folder)])


def _lists_of(suite: str, folder: Path) -> list[str]:
    """Options that let apt-get know one Debian suite alone, with its files in `folder` and the
    machine's untouched.
    """
    for name in ("lists/partial", "cache"):
        (folder / name).mkdir(parents=True)
    (folder / "sources.list").write_text(_SOURCE.format(_archive(), suite))
    places = {"Etc::SourceList": "sources.list", "State::Lists": "lists", "Cache": "cache"}
    options = [f"Dir::{key}={folder / name}" for key, name in places.items()]
    return [word for option in [*options, "Dir::Etc::SourceParts=-"] for word in ("-o", option)]


def _archive() -> str:
    """Where this machine's own Debian packages come from.

    Raises:
        VmUnavailableError: it knows no place.
    """
    known = (
        _do(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian"])
        .decode()
        .split()
    )
    places = [place for place in known if "security" not in place]
    if not places:
        raise VmUnavailableError(f"apt-get knows no Debian archive; {_INSTALL}")
    return places[0]


def _build_loopback(module: Path, version: str, loopback: str) -> None:
    with tempfile.TemporaryDirectory(prefix="vcam-vm-") as folder:
        _unpack(Path(folder), "v4l2loopback-dkms", LOOPBACKS[loopback])
        (source,) = Path(folder, "usr/src").glob("v4l2loopback-*")
        if source.name != f"v4l2loopback-{loopback}":
            raise VmUnavailableError(
                f"{LOOPBACKS[loopback]} has {source.name}, not {loopback}; correct LOOPBACKS"
            )
        _do(["make", "-C", f"/usr/src/linux-headers-{version}", f"M={source}", "modules"])
        module.parent.mkdir(exist_ok=True)
        shutil.copy(source / "v4l2loopback.ko", module)


def _build_initramfs(root: Path, version: str, loopback: Path) -> Path:
    """Busybox, the modules in the order in which they must be loaded, and the script `init` beside
    this file.
    """
    with tempfile.TemporaryDirectory(prefix="vcam-vm-") as folder:
        tree = Path(folder)
        (tree / "bin").mkdir()
        (tree / "modules").mkdir()
        shutil.copy(shutil.which("busybox", path=_path()) or "", tree / "bin/busybox")
        shutil.copy(Path(__file__).with_name("init"), tree / "init")
        (tree / "init").chmod(0o755)
        order = {}
        for module in [*_modules(root, version), loopback]:
            shutil.copy(module, tree / "modules")
            order[module.name] = {
                "v4l2loopback.ko": LOOPBACK_OPTIONS,
                "vivid.ko": VIVID_OPTIONS,
            }.get(module.name, "")
        (tree / "modules/order").write_text(
            "".join(f"{name} {options}\n" for name, options in order.items())
        )
        archive = _do(["sh", "-c", "find . | cpio --quiet -o -H newc | gzip -1"], cwd=tree)
    image = loopback.with_name("initramfs")
    partial = image.with_suffix(f".{os.getpid()}")
    partial.write_bytes(archive)
    return partial.replace(image)


def _modules(root: Path, version: str) -> list[Path]:
    """The files of `_MODULES` and of what they need, each after those that it needs."""
    files = []
    for name in _MODULES:
        shown = _do(
            ["modprobe", "--show-depends", "--dirname", str(root), "--set-version", version, name]
        ).decode()
        files += [
            Path(line.split()[1]) for line in shown.splitlines() if line.startswith("insmod ")
        ]
    return list(dict.fromkeys(files))


def _do(command: list[str], cwd: Path | None = None) -> bytes:
    """Run one step of the preparation and return its output.

    Raises:
        VmUnavailableError: it failed; the message ends with what it said.
    """
    done = subprocess.run(
        command, cwd=cwd, check=False, capture_output=True, env={**os.environ, "PATH": _path()}
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
        raise VmUnavailableError(f"`{shlex.join(command)}` failed: {' | '.join(said)}; {_INSTALL}")
    return done.stdout


def _path() -> str:
    """PATH with the folders of system tools, which users' shells leave out."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _read(serial: Path) -> str:
    return serial.read_text(errors="replace").replace("\r", "") if serial.exists() else ""
