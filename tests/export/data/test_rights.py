from __future__ import annotations

from pathlib import Path

import pytest

from export.data.manifest import rows_of
from export.data.notes import Notes
from export.data.provenance import SOURCES
from export.data.rights import CLEAR, NON_COMMERCIAL, UNCLEAR, rights_of
from tests.data import SHARED, why_absent


@pytest.mark.parametrize(
    ("name", "notes", "expected"),
    [
        ("person/cutouts", "alpha matte", CLEAR),
        ("person/ccp", "aspect 4:3", UNCLEAR),
        ("person/wild", "crop; photo CC BY-SA 2.0; flickr photo 3", CLEAR),
        ("person/wild", "crop; photo no known copyright restrictions", CLEAR),
        ("person/wild", "crop; photo CC BY-NC-SA 2.0", NON_COMMERCIAL),
        ("person/wild", "crop; photo licence unknown (Flickr)", UNCLEAR),
        ("person/wild", "crop", UNCLEAR),
        ("face/celebamask", "CelebAMask-HQ hand labels", NON_COMMERCIAL),
        ("person/clips_people", "person 4%; repo CC BY 4.0 (covers the clips)", CLEAR),
        ("person/clips_people", "repo MIT; rights in the clip unclear", UNCLEAR),
        ("person/webcam_people", "repo MIT; photo rights unclear, no consent record", UNCLEAR),
        ("backgrounds_negatives", "no person; clothes without wearer, CC0; x/y", CLEAR),
        ("backgrounds_negatives", "no person; bedroom/kitchen, estate photo", UNCLEAR),
        ("somebody/else", "", UNCLEAR),
    ],
)
def test_rights(name: str, notes: str, expected: str) -> None:
    assert rights_of(name, Notes.of(notes)) == expected


def test_the_card_says_the_same() -> None:
    for source in SOURCES:
        assert (rights_of(source.folder) == UNCLEAR) == (source.rights == "unclear"), source.folder


def test_the_filter(tmp_path: Path) -> None:
    rows = ("a.png,,train,photo CC BY 2.0", "b.png,,train,photo CC BY-NC 2.0")
    (tmp_path / "manifest.csv").write_text("\n".join(("file,label,split,notes", *rows)))
    assert [row.file for row in rows_of(tmp_path, "train", "any")] == ["a.png", "b.png"]
    assert [row.file for row in rows_of(tmp_path, "train", "clear")] == ["a.png"]


def test_the_shared_photos() -> None:
    if not (SHARED / "data").is_dir():
        pytest.skip(why_absent(SHARED / "data"))
    data: Path = SHARED / "data"
    for name, count in (("person/wild", 241), ("backgrounds_rooms", 14)):
        rows = [row for split in ("train", "test") for row in rows_of(data / name, split, "clear")]
        assert len(rows) == count
