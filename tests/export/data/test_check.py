from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import pytest

from export.data.check import check_folder, write_problem_sheet
from export.errors import ExportError


def test_a_good_folder_has_no_problems(data: Path, tmp_path: Path) -> None:
    found = list(check_folder(data))
    assert [one.name for one in found] == [
        "backgrounds",
        "backgrounds_rooms",
        "face/avatars",
        "face/real",
        "person/ccp",
        "person/cutouts",
        "person/wild",
    ]
    alike = "the same picture as"  # all drawn faces are
    assert not [x for one in found for x in one.problems if alike not in x]
    assert all(one.counts == {"train": 2, "test": 2} for one in found)
    write_problem_sheet(tmp_path / "sheet.jpg", found)
    sheet = cv2.imread(str(tmp_path / "sheet.jpg"))
    assert sheet is not None
    assert sheet.shape[1] == 4 * 2 * 320


def test_what_is_wrong_is_named(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ccp"
    shutil.copytree(data / "person/ccp", folder)
    (folder / "images/0.png").write_bytes(b"noise")
    (folder / "masks/1.png").unlink()
    shutil.copy(data / "person/ccp/images/0.png", folder / "images/2.png")
    shutil.copy(data / "person/ccp/images/0.png", folder / "images/3.png")
    table = folder / "manifest.csv"
    table.write_text(table.read_text().replace("ccp_0", "ann").replace("ccp_3", "ann"))
    (one,) = check_folder(folder)
    assert len(one.problems) == 3
    assert "images/0.png: not a picture" in one.problems[0]
    assert "masks/1.png: missing" in one.problems[1]
    assert one.problems[2].endswith("images/3.png: the same picture as images/2.png")
    assert one.tested == 1
    assert "4 identities" not in one.line()
    assert "3 identities" in one.line()
    assert "1 of people who are tested" in one.line()


def test_a_folder_without_sets(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no known set"):
        list(check_folder(tmp_path))
