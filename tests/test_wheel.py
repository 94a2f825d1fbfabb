"""What is published: it is built, unpacked and used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from vcam.catalogue import (
    DEFAULT_ENGINE,
    DEFAULT_FACE_ENGINE,
    DEFAULT_FACE_MESH,
    DETECTORS,
    read_catalogue,
    shipped_engines,
)

ROOT = Path(__file__).parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, str(ROOT / "scripts/build"), str(folder)], check=True)
    return folder


def _unpacked(dist: Path, name: str, folder: Path) -> Path:
    (wheel,) = dist.glob(name)
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def _vcam(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the vcam of this folder, from it, so that no other one is found."""
    return subprocess.run(
        [sys.executable, "-m", "vcam", *arguments],
        cwd=site,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_runs_by_itself_with_the_engines_of_a_default_run(
    dist: Path, tmp_path: Path
) -> None:
    site = _unpacked(dist, "vcam_background-*.whl", tmp_path)
    done = _vcam(
        site, "run", "-s", "demo", "-e", "skin", "-o", "null", "--duration", "0.3", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames"] == 9
    engines = {spec.name: spec for spec in read_catalogue(site / "vcam/engines")}
    for name in (DEFAULT_ENGINE, DEFAULT_FACE_ENGINE, DEFAULT_FACE_MESH, *DETECTORS):
        engines[name].verify()
    refused = _vcam(site, "run", "-s", "demo", "-o", "null", "--engine", "segformer_b0_fp64")
    assert "pip install 'vcam-background[engines]'" in refused.stderr
    names = {path.relative_to(site).parts[0] for path in site.rglob("*") if path.is_file()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"vcam"}


def test_both_wheels_together_hold_every_engine_once(dist: Path, tmp_path: Path) -> None:
    site = _unpacked(dist, "vcam_background-*.whl", tmp_path)
    _unpacked(dist, "vcam_engines-*.whl", tmp_path)
    listed = _vcam(site, "engines").stdout
    models = {spec.model for spec in read_catalogue(shipped_engines())}
    assert all(model in listed for model in models)
    first, second = (
        {path.parent.name for path in (site / folder).glob("*/engine.toml")}
        for folder in ("vcam/engines", "vcam_engines")
    )
    assert not first & second
    assert len(first | second) == len(list((ROOT / "engines").glob("*/engine.toml")))


def test_an_unpacked_sdist_is_a_working_tree(dist: Path, tmp_path: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout  # noqa: PLW1510
    ignored = (".gitignore", ".gitattributes", ".github")
    missing = [
        name
        for name in listed.split()
        if not name.startswith(ignored) and not (tree / name).exists()
    ]
    assert missing == []
    tests = ["tests/test_slot.py", "tests/test_packaging.py", "tests/linux", "tests/matting"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
