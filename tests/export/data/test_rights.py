from __future__ import annotations

from pathlib import Path

import pytest

from export.data.people import read_manifest
from export.data.rights import CLEAR, NON_COMMERCIAL, UNCLEAR, keep, rights_of
from export.data.sources import SOURCES
from tests.export.conftest import SHARED


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
        ("somebody/else", "", UNCLEAR),
    ],
)
def test_rights(name: str, notes: str, expected: str) -> None:
    assert rights_of(name, notes) == expected


def test_the_card_says_the_same() -> None:
    for source in SOURCES:
        assert (rights_of(source.folder) == UNCLEAR) == (source.rights == "unclear"), source.folder


def test_the_filter() -> None:
    rows = [{"notes": "photo CC BY 2.0"}, {"notes": "photo CC BY-NC 2.0"}]
    assert keep("person/wild", rows, "any") == rows
    assert keep("person/wild", rows, "clear") == rows[:1]


def test_the_shared_photos() -> None:
    if not (SHARED / "data").is_dir():
        pytest.skip("no shared data")
    data: Path = SHARED / "data"
    assert len(keep("person/wild", read_manifest(data / "person/wild"), "clear")) == 241
    assert len(keep("backgrounds_rooms", read_manifest(data / "backgrounds_rooms"), "clear")) == 14
