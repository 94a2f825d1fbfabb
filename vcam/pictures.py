"""Still pictures at full size and depth: colours, changes by effects, and file formats."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.colour import to_rgb
from vcam.frame import Frame, Picture, Pixels, Plane
from vcam.xmp import cleaned_xmp

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".avif")
"""File types that `encode` writes; .heic and .heif too if pillow-heif is installed."""
HEIF_SUFFIXES = (".heic", ".heif", ".hif")
ALPHA_SUFFIXES = (".png", ".webp", ".tif", ".tiff", ".avif", *HEIF_SUFFIXES)
_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jfif")
_MAKER_NOTE, _EXIF_IFD, _ORIENTATION = 0x927C, 0x8769, 0x0112
_PNG_XMP, _TIFF_XMP = "XML:com.adobe.xmp", 700  # ISO 16684-3, sections 6.8 and 6.9
_LARGEST_XMP_OF_JPEG = 65_502  # ISO 16684-3, section 6.4
_BITS = {".png": 16, ".tif": 16, ".tiff": 16} | dict.fromkeys(HEIF_SUFFIXES, 10)
"""Of a colour, at most, as far as it is written here; 8 in other files."""
_PNG_LEVEL = 3
_ROWS = 256
_QUALITY = 95


def over_white(rgba: Pixels) -> Pixels:
    """Lay [H, W, 4] RGBA, straight alpha, uint8 or uint16, on white: [H, W, 3] RGB."""
    peak = np.iinfo(rgba.dtype).max
    wide = np.uint16 if rgba.dtype == np.uint8 else np.uint32
    laid = np.empty((*rgba.shape[:2], 3), rgba.dtype)
    for top in range(0, len(rgba), _ROWS):  # wide copies of a part only
        rows = rgba[top : top + _ROWS]
        alpha: NDArray[Any] = rows[..., 3:].astype(wide)
        sums = rows[..., :3] * alpha + wide(peak) * (wide(peak) - alpha) + wide(peak // 2)
        laid[top : top + _ROWS] = sums // wide(peak)
    return laid


def srgb_of(picture: Picture) -> NDArray[np.uint8]:
    """Convert to screen colours: uint8 [H, W, 3] RGB, sRGB, on white."""
    pixels = picture.pixels if picture.pixels.shape[2] == 3 else over_white(picture.pixels)
    return _through(_eight_bits(pixels), picture.icc, to_srgb=True)


def _through(rgb: NDArray[np.uint8], icc: bytes, to_srgb: bool) -> NDArray[np.uint8]:
    """Convert uint8 [H, W, 3] from a profile to sRGB or back; unchanged without a valid profile."""
    if not icc:
        return rgb
    from PIL import Image, ImageCms

    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        ends = (own, ImageCms.createProfile("sRGB"))
        source, target = ends if to_srgb else ends[::-1]
        image = ImageCms.profileToProfile(Image.fromarray(rgb), source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return rgb  # a broken profile; viewers ignore it too
    return np.asarray(image, np.uint8)


def pad_to_even(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pad uint8 [H, W, C] to even H and W by repeating the last row and column."""
    height, width = image.shape[:2]
    if not (width % 2 or height % 2):
        return image
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def picture_of(frame: Frame) -> Picture:
    """Convert a frame to an 8-bit picture in sRGB, with the frame's alpha."""
    rgb = to_rgb(frame)
    pixels = rgb if frame.alpha is None else np.dstack([rgb, frame.alpha])
    return Picture(np.asarray(pixels, np.uint8))


def renewed(picture: Picture, captured: Frame, composed: Frame, hides: bool) -> Picture:
    """Apply the effects' changes to a picture; unchanged pixels keep their exact values.

    Args:
        picture: the origin of `captured`, before padding to an even size.
        captured: the frame before the effects.
        composed: the frame after them, of the same size.
        hides: some effect hides the room. Then nothing of a changed pixel is taken from the
            picture, and what its EXIF keeps in the maker's own form and long values of its XMP are
            left out, as previews may be in them.
    """
    width, height = picture.size
    if composed is captured and not hides:
        return picture
    exif = _without_maker_note(picture.exif) if hides else picture.exif
    xmp = cleaned_xmp(picture.xmp, hides=True) if hides else picture.xmp
    if composed.size != (width + width % 2, height + height % 2):
        return replace(picture_of(composed), exif=exif, xmp=xmp, left_out=picture.left_out)
    touched = _touched(captured, composed)[:height, :width]
    pixels = picture.pixels
    if hides and pixels.shape[2] == 4:
        pixels = over_white(pixels)
    pixels = pixels.copy()
    box = _bounds(touched)
    if box is not None:
        _change(pixels, touched, box, captured, composed, picture.icc, hides)
    if hides and composed.alpha is not None:
        scale = 1 if pixels.dtype == np.uint8 else 257
        alpha = composed.alpha[:height, :width].astype(np.int32) * scale
        pixels = np.dstack([pixels, alpha.astype(pixels.dtype)])
    return replace(picture, pixels=pixels, exif=exif, xmp=xmp)


def _touched(captured: Frame, composed: Frame) -> NDArray[np.bool_]:
    """Pixels, bool [H, W], whose luma or chroma differs between the frames."""
    luma = captured.y != composed.y
    chroma = (captured.u != composed.u) | (captured.v != composed.v)
    return np.asarray(luma | np.repeat(np.repeat(chroma, 2, axis=0), 2, axis=1), np.bool_)


def _bounds(touched: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """The rows and columns around all touched pixels, even, with a margin."""
    rows, columns = (np.flatnonzero(touched.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    (top, bottom), (left, right) = ((int(at[0]), int(at[-1]) + 1) for at in (rows, columns))
    return (
        slice(max(0, top - 2) & ~1, (bottom + 3) & ~1),
        slice(max(0, left - 2) & ~1, (right + 3) & ~1),
    )


def _change(
    pixels: Pixels,
    touched: NDArray[np.bool_],
    box: tuple[slice, slice],
    captured: Frame,
    composed: Frame,
    icc: bytes,
    hides: bool,
) -> None:
    """Write the changed pixels inside `box` into `pixels`."""
    part, mask = pixels[box][..., :3], touched[box]
    after = _own_rgb(composed, box, mask.shape, icc)
    scale = 1 if pixels.dtype == np.uint8 else 257
    if hides:
        new = after.astype(np.int32) * scale
    else:  # adding a difference keeps the picture's own depth and colour detail
        before = _own_rgb(captured, box, mask.shape, icc)
        new = part.astype(np.int32) + (after.astype(np.int32) - before) * scale
    clipped = np.clip(new, 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    np.copyto(part, clipped, where=mask[..., None])


def _own_rgb(
    frame: Frame, box: tuple[slice, slice], shape: tuple[int, ...], icc: bytes
) -> NDArray[np.uint8]:
    """Convert a part of a frame to the picture's own colours: uint8 [H, W, 3], with the H and W of
    `shape`.
    """
    rows, columns = box
    luma = frame.y[rows, columns]
    luma = luma[: luma.shape[0] & ~1, : luma.shape[1] & ~1]
    height, width = luma.shape
    chroma = np.s_[
        rows.start // 2 : rows.start // 2 + height // 2,
        columns.start // 2 : columns.start // 2 + width // 2,
    ]
    cut = Frame.empty((width, height), frame.matrix)
    parts: tuple[Plane, ...] = (luma, frame.u[chroma], frame.v[chroma])
    for source, target in zip(parts, cut.planes, strict=True):
        np.copyto(target, source)
    return _through(to_rgb(cut)[: shape[0], : shape[1]], icc, to_srgb=False)


def cleaned_exif(raw: bytes) -> bytes:
    """Remove the orientation (already applied) and the thumbnail (outdated) from EXIF."""
    return _edited(raw, maker_note=True)


def _without_maker_note(raw: bytes) -> bytes:
    return _edited(raw, maker_note=False)


def _edited(raw: bytes, maker_note: bool) -> bytes:
    from PIL import Image

    if not raw:
        return b""
    exif = Image.Exif()
    try:
        exif.load(raw)
        exif.pop(_ORIENTATION, None)
        inner = exif.get_ifd(_EXIF_IFD)
        if not maker_note:
            inner.pop(_MAKER_NOTE, None)
        return exif.tobytes() if len(exif) else b""
    except Exception:  # noqa: BLE001 - Pillow raises any exception on a broken block
        return b""


def encode(picture: Picture, suffix: str, strip: bool = False) -> bytes:
    """Encode a picture as the content of a file.

    Args:
        picture: its alpha is laid on white if the format has none; .png and .tiff keep 16 bits.
        suffix: one of `PICTURE_SUFFIXES` or `HEIF_SUFFIXES`.
        strip: leave EXIF and XMP out, and convert the colours to sRGB instead of keeping their
            profile.

    Raises:
        OSError, ValueError: the format cannot represent the picture.
    """
    if strip:
        picture = replace(picture, exif=b"", xmp=b"")
        if picture.icc:
            picture = replace(picture, pixels=_in_srgb(picture), icc=b"")
    if picture.pixels.shape[2] == 4 and suffix not in ALPHA_SUFFIXES:
        picture = replace(picture, pixels=over_white(picture.pixels))
    if picture.depth == 16 and suffix == ".png":
        return _png16(picture)
    if suffix in (".tif", ".tiff"):
        return _tiff(picture)
    if suffix in HEIF_SUFFIXES:
        return _heif(picture)
    return _by_pillow(picture, suffix)


def lost(picture: Picture, suffix: str) -> str:
    """Name what a file of this suffix cannot keep of a picture; empty: nothing."""
    parts = list(picture.left_out)
    if picture.pixels.shape[2] == 4 and suffix not in ALPHA_SUFFIXES:
        parts.append("its transparency")
    bits, kept = picture.bits or picture.depth, _BITS.get(suffix, 8)
    if bits > kept:
        parts.append(f"{bits - kept} of its {bits} bits")
    if suffix == ".bmp" and (picture.exif or picture.icc or picture.xmp):
        parts.append("EXIF, XMP and its colour profile")
    elif suffix in _JPEG_SUFFIXES and len(picture.xmp) > _LARGEST_XMP_OF_JPEG:
        parts.append("XMP")
    return ", ".join(parts)


def _in_srgb(picture: Picture) -> Pixels:
    """Convert to sRGB, 8 bits: [H, W, 3 or 4]."""
    pixels = picture.pixels
    if pixels.shape[2] == 3:
        return srgb_of(picture)
    eight = _eight_bits(pixels)
    colours = _through(np.ascontiguousarray(eight[..., :3]), picture.icc, to_srgb=True)
    return np.asarray(np.dstack([colours, eight[..., 3]]), np.uint8)


def _eight_bits(pixels: Pixels) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    eight = np.empty(pixels.shape, np.uint8)
    for top in range(0, len(pixels), _ROWS):
        rows = pixels[top : top + _ROWS].astype(np.uint32)
        eight[top : top + _ROWS] = (rows + 128) // 257
    return eight


def _by_pillow(picture: Picture, suffix: str) -> bytes:
    from PIL import Image, PngImagePlugin

    image = Image.fromarray(_eight_bits(picture.pixels))
    options: dict[str, Any] = {"quality": _QUALITY}
    if suffix == ".png":
        options = {"compress_level": _PNG_LEVEL}
        if picture.xmp:
            options["pnginfo"] = PngImagePlugin.PngInfo()
            options["pnginfo"].add_itxt(_PNG_XMP, picture.xmp.decode(errors="replace"))
    elif suffix in _JPEG_SUFFIXES:
        options = _jpeg_options(picture)
    if picture.exif:
        options["exif"] = picture.exif
    if picture.icc:
        options["icc_profile"] = picture.icc
    fits = suffix not in _JPEG_SUFFIXES or len(picture.xmp) <= _LARGEST_XMP_OF_JPEG
    if picture.xmp and fits:
        options["xmp"] = picture.xmp
    kind = {".jfif": "JPEG"}.get(suffix) or Image.registered_extensions()[suffix]
    into = io.BytesIO()
    image.save(into, kind, **options)
    return into.getvalue()


def _heif(picture: Picture) -> bytes:
    """HEVC with 8 bits of a colour, or with 10 of a picture of 16."""
    import pillow_heif

    deep = picture.depth == 16
    kind = ("RGB" if picture.pixels.shape[2] == 3 else "RGBA") + (";16" if deep else "")
    pixels = np.ascontiguousarray(picture.pixels, "<u2" if deep else None)
    file = pillow_heif.from_bytes(kind, picture.size, pixels.tobytes())
    if picture.icc:
        file.info["icc_profile"] = picture.icc
    options = {"exif": picture.exif, "xmp": picture.xmp}
    into = io.BytesIO()
    file.save(into, quality=_QUALITY, **{name: data for name, data in options.items() if data})
    return into.getvalue()


def _jpeg_options(picture: Picture) -> dict[str, Any]:
    """Reuse the source JPEG's tables, which change its pixels least; else quality 95."""
    if picture.jpeg is None:
        return {"quality": _QUALITY}
    tables, subsampling = picture.jpeg
    return {"qtables": tables, "subsampling": subsampling}


def _png16(picture: Picture) -> bytes:
    order = [2, 1, 0, 3][: picture.pixels.shape[2]]
    image = np.asarray(picture.pixels[..., order], np.uint16)
    done, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL])
    if not done:
        raise ValueError("OpenCV cannot write it as PNG")
    content = data.tobytes()
    extra = b""
    if picture.icc:
        extra += png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.icc))
    if picture.exif:
        extra += png_chunk(b"eXIf", picture.exif.removeprefix(b"Exif\0\0"))
    if picture.xmp:  # not compressed, no language, section 11.3.3.4
        extra += png_chunk(b"iTXt", _PNG_XMP.encode() + b"\0\0\0\0\0" + picture.xmp)
    end_of_header = 8 + 25  # PNG specification, sections 5.2 and 11.2.1
    return content[:end_of_header] + extra + content[end_of_header:]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk of this type and content; specification, section 5.3."""
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def _tiff(picture: Picture) -> bytes:
    """Write a baseline TIFF with one strip, deflated (TIFF 6.0, sections 2 to 6; numeric tags)."""
    from PIL import Image, TiffImagePlugin

    height, width, channels = picture.pixels.shape
    pixels = picture.pixels.astype("<u2") if picture.depth == 16 else picture.pixels
    data = zlib.compress(pixels.tobytes(), _PNG_LEVEL)
    tags: dict[int, Any] = {
        256: width,
        257: height,
        258: (picture.depth,) * channels,
        259: 8,
        262: 2,
    }
    tags |= {273: 0, 277: channels, 278: height, 279: len(data), 284: 1}
    if channels == 4:
        tags[338] = 2  # unassociated alpha
    directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    if picture.exif:
        exif = Image.Exif()
        exif.load(picture.exif)
        for tag in exif:
            if tag not in tags and tag not in (_EXIF_IFD, 0x8825):
                directory[tag] = exif[tag]
        for tag in (_EXIF_IFD, 0x8825):
            if inner := exif.get_ifd(tag):
                directory[tag] = dict(inner)
    for tag, value in tags.items():
        directory[tag] = value
    if picture.icc:
        directory.tagtype[34675] = 7
        directory[34675] = picture.icc
    if picture.xmp:
        directory.tagtype[_TIFF_XMP] = 1
        directory[_TIFF_XMP] = picture.xmp
    start = 8
    # Pillow counts the offset of the strip from the end of the directory.
    return b"II*\0" + struct.pack("<I", start) + directory.tobytes(start) + data
