"""The package is what pyproject.toml says, and needs no more than it says."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import vcam

ROOT = Path(vcam.__file__).parent.parent
BLOCKED = ("torch", "onnxruntime", "tensorrt", "tensorrt_rtx", "openvino", "pyvirtualcam", "onnx", "cuda", "pycuda")


def _project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_packages_are_the_folders_of_the_tree() -> None:
    listed = set(_project()["tool"]["setuptools"]["packages"])  # type: ignore[index]
    found = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "vcam").rglob("__init__.py")}
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
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


LAYERS = (
    ("telemetry", "errors", "frame", "memory", "machine", "v4l2", "config", "state", "backoff"),
    ("slot", "stats", "card", "readers", "pace"),
    ("catalogue", "effects", "sources", "backends", "sinks"),
    ("matting", "demand", "supervise", "output"),
    ("face",),
    ("pipeline", "mask", "devices"),
    ("bench", "bench_table"),
    ("files", "modprobe", "notify", "instances", "service"),
    ("session", "status", "doctor", "announce"),
    ("cli_options",),
    ("cli_engines", "cli_doctor", "cli_service"),
    ("cli",),
)


def test_imports_point_one_way() -> None:
    level = {name: i for i, names in enumerate(LAYERS) for name in names}
    for path in (ROOT / "vcam").rglob("*.py"):
        parts = path.relative_to(ROOT / "vcam").with_suffix("").parts
        if parts[0] == "__init__":
            continue
        assert parts[0] in level, f"{parts[0]} has no place among the layers"
        for imported in _imports(path):
            assert level[imported] <= level[parts[0]], f"{path} imports vcam.{imported}"


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vcam."):
            found.add(str(node.module).split(".")[1])
    return found - {"engines"}


def test_functions_and_modules_stay_small() -> None:
    for path in [*(ROOT / "vcam").rglob("*.py"), *(ROOT / "export").rglob("*.py")]:
        source = path.read_text()
        assert source.count("\n") <= 400, path
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                lines = (node.end_lineno or 0) - first.lineno + 1
                assert lines <= 35, f"{path}: {node.name} has {lines} lines"
