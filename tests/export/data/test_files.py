from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from export.data.files import pictures_in, read_image, read_plane, text_of
from export.data.image import Image
from export.errors import ExportError
from tests.export.tiny_sets import palette_png

_SIZE = (20, 40)


def _half() -> Image:
    """White on the left, black on the right."""
    plane = np.zeros(_SIZE, np.uint8)
    plane[:, :20] = 255
    return plane


def _jpeg(path: Path, orientation: int = 1, more: bytes = b"") -> None:
    """The half-white picture, its EXIF data with an orientation and `more` (a preview)
    before it.
    """
    data = cv2.imencode(".jpg", cv2.merge([_half()] * 3))[1].tobytes()
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01" + orientation.to_bytes(2) + b"\x00\x00"
    exif = b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01" + entry + b"\x00\x00\x00\x00" + more
    path.write_bytes(data[:2] + b"\xff\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + data[2:])


def test_values_are_those_in_the_file(tmp_path: Path) -> None:
    indices = (np.arange(12 * 17).reshape(12, 17) % 4).astype(np.uint8)
    (tmp_path / "palette.png").write_bytes(
        palette_png(indices, bytes([0, 0, 0, 200, 0, 0, 0, 200, 0, 9, 9, 9]))
    )
    cv2.imwrite(str(tmp_path / "deep.png"), indices.astype(np.uint16))
    cv2.imwrite(str(tmp_path / "three.png"), cv2.merge([indices] * 3))
    cv2.imwrite(
        str(tmp_path / "four.png"),
        cv2.merge([indices, indices, indices, np.full_like(indices, 255)]),
    )
    for name in ("palette", "deep", "three", "four"):
        np.testing.assert_array_equal(read_plane(tmp_path / f"{name}.png"), indices, err_msg=name)


def test_what_is_no_mask(tmp_path: Path) -> None:
    half = _half()
    cv2.imwrite(str(tmp_path / "red.png"), cv2.merge([half * 0, half * 0, half]))
    cv2.imwrite(str(tmp_path / "clear.png"), cv2.merge([half] * 4))
    cv2.imwrite(str(tmp_path / "deep.png"), half.astype(np.uint16) * 257)
    with pytest.raises(
        ExportError, match=r"red\.png: has colours, so not a mask; save it with one channel"
    ):
        read_plane(tmp_path / "red.png")
    with pytest.raises(ExportError, match=r"clear\.png: partly transparent"):
        read_plane(tmp_path / "clear.png")
    with pytest.raises(ExportError, match=r"deep\.png: values up to 65535; save it with 8 bits"):
        read_plane(tmp_path / "deep.png")


def test_a_picture_is_turned_as_its_label_is(tmp_path: Path) -> None:
    _jpeg(tmp_path / "turned.jpg", orientation=6)
    assert read_image(tmp_path / "turned.jpg").shape[:2] == _SIZE[::-1]
    turned = read_image(tmp_path / "turned.jpg", _SIZE[::-1])
    assert turned[:15].min() > 200  # the stored left is shown above
    as_stored = read_image(tmp_path / "turned.jpg", (10, 20))
    assert as_stored.shape == (10, 20, 3)
    assert as_stored[:, :8].min() > 200
    assert as_stored[:, 12:].max() < 50


def test_a_label_of_another_shape(tmp_path: Path) -> None:
    _jpeg(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg", (201, 400)).shape == (201, 400, 3)
    with pytest.raises(
        ExportError, match=r"a\.jpg: 40x20, but its label 42x20; one of them is another's"
    ):
        read_image(tmp_path / "a.jpg", (20, 42))


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_cut_short(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = cv2.imencode(suffix, noise)[1].tobytes()
    path.write_bytes(whole + b"what a phone appends")
    assert read_image(path).shape == (64, 64, 3)
    path.write_bytes(whole[:-60])
    with pytest.raises(ExportError, match=f"a{suffix}: cut short or damaged .*get it again"):
        read_image(path)


def test_the_end_of_a_preview_is_not_that_of_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    _jpeg(path, more=b"\xff\xd8 preview \xff\xd9")
    assert read_image(path).shape == (*_SIZE, 3)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ExportError, match=r"a\.jpg: cut short or damaged"):
        read_image(path)


def test_what_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(ExportError, match=r"a\.png: missing \(No such file"):
        read_plane(path)
    for data, message in (
        (b"", "empty; get it again"),
        (b"noise", "not a picture; correct it"),
        (palette_png(_half(), b"")[:40] + b"IEND", "not a picture; correct it"),
    ):
        path.write_bytes(data)
        with pytest.raises(ExportError, match=rf"a\.png: {message}"):
            read_plane(path)


def test_hidden_files_are_no_pictures(tmp_path: Path) -> None:
    for name in ("b.webp", "a.BMP", "._a.jpg", ".cache/c.jpg", "list.txt", "sub/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in pictures_in(tmp_path)] == [
        "a.BMP",
        "b.webp",
        "sub/d.png",
    ]


def test_texts(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("é.png", encoding="utf-8-sig")
    assert text_of(path) == "é.png"
    path.write_text("é.png", encoding="latin-1")
    with pytest.raises(ExportError, match=r"list\.txt: not UTF-8 .*save it as UTF-8"):
        text_of(path)
    with pytest.raises(ExportError, match=r"cannot be read \(Is a directory"):
        text_of(tmp_path)
