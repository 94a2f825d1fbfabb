"""The package is what pyproject.toml says, and needs no more than it says."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import vcam
from tests.helpers import STRICT

ROOT = Path(vcam.__file__).parent.parent
BLOCKED = (
    "torch",
    "onnxruntime",
    "tensorrt",
    "tensorrt_rtx",
    "openvino",
    "pyvirtualcam",
    "onnx",
    "cuda",
    "pycuda",
)


def _project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_packages_are_the_folders_of_the_tree() -> None:
    listed = set(_project()["tool"]["setuptools"]["packages"])  # type: ignore[index]
    found = {
        ".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "vcam").rglob("__init__.py")
    }
    assert listed == found | {"vcam.engines"}
    for folder in (ROOT / "vcam").rglob("*.py"):
        assert (folder.parent / "__init__.py").exists(), folder


def test_the_version_is_one() -> None:
    assert _project()["project"]["version"] == vcam.__version__  # type: ignore[index]


def test_every_module_imports_without_heavy_third_parties() -> None:
    modules = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "vcam").rglob("*.py")
    )
    program = (
        "import sys\n"
        f"for name in {BLOCKED!r}: sys.modules[name] = None\n"
        "import importlib\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, *STRICT, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_docs_show_the_floors_that_are_checked() -> None:
    contract = _project()["tool"]["importlinter"]["contracts"][0]  # type: ignore[index]
    drawn = (ROOT / "docs/design.md").read_text().split("```")
    assert "\n" + "\n".join(contract["layers"]) + "\n" in drawn


def test_the_figures_of_the_readme_are_those_of_the_results() -> None:
    command = [sys.executable, str(ROOT / "scripts/figures"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0


def test_live_control_weighs_less_than_5_mb() -> None:
    """What its three libraries install, without what other parts of vcam need anyway."""
    found: dict[str, int] = {}
    wanted = ["starlette", "uvicorn", "websockets"]
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        about = metadata.distribution(name)
        files = [Path(str(file.locate())) for file in about.files or ()]
        found[name] = sum(
            path.stat().st_size
            for path in files
            if path.is_file() and "__pycache__" not in path.parts
        )
        needs = [need for need in about.requires or () if "extra ==" not in need]
        wanted += [re.split(r"[^\w-]", need)[0] for need in needs if _is_installed(need)]
    assert {"anyio", "h11"} < set(found)
    assert 1_000_000 < sum(found.values()) < 5_000_000, found


def _is_installed(need: str) -> bool:
    try:
        return bool(metadata.distribution(re.split(r"[^\w-]", need)[0]))
    except metadata.PackageNotFoundError:
        return False
