"""Still images, as a source and for other modules."""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam import limits
from vcam.errors import SourceError
from vcam.files import read_bounded
from vcam.frame import Frame, Picture, Pixels
from vcam.pictures import cleaned_exif, over_white, pad_to_even, srgb_of
from vcam.sources.base import SourceRequest
from vcam.sources.common import SourceBase
from vcam.sources.convert import FrameMaker, rgb_picture
from vcam.sources.inspect_file import is_heif, is_image, is_raw, missing_in, read_head
from vcam.sources.media import Media
from vcam.sources.presentation import Notes, Presenter
from vcam.sources.salvage import Salvaged, salvage
from vcam.sources.tone import HLG, PQ
from vcam.xmp import cleaned_xmp

if TYPE_CHECKING:
    from PIL.Image import Image

_JPEG_START = b"\xff\xd8"
_ANIMATED = b"GIF8"  # a film as a source, a picture if one is asked for
_ORIENTATION = 0x0112
_HEADER_BYTES = 1 << 16


class ImageSource(SourceBase):
    """Delivers one image once, or repeatedly with `request.repeat`. The pixels are shared, not
    copied.

    An image that keeps its size is also passed on unchanged: see `Frame.picture`.

    Args:
        path: any image that Pillow, OpenCV or FFmpeg reads; HEIC with pillow-heif.
        request: the pipeline's requirements; the image's matrix is BT.709 from 720 rows on, else
            BT.601.
    """

    def __init__(self, path: str, request: SourceRequest) -> None:
        super().__init__(Path(path).name, request, frames=None if request.repeat else 1)
        self._path = path
        self._frame: Frame | None = None

    def _open(self) -> None:
        picture = read_picture(self._path)
        self.damage = picture.damage
        image = pad_to_even(srgb_of(picture))
        frame = FrameMaker(self._request, name=self._path).make(rgb_picture(image), 0)
        if not self._request.repeat:
            if self._request.mirror:
                picture = replace(picture, pixels=picture.pixels[:, ::-1])
            frame = replace(frame, picture=picture)
        self._frame = frame
        self.size = frame.size

    def read(self) -> Frame | None:
        """The image, with the time of this call; None after it, or after `interrupt`."""
        if self._stop.is_set() or self._frame is None or self._index == self.frames:
            return None
        index = self._next_index()
        return replace(
            self._frame,
            t_capture_ns=time.monotonic_ns(),
            index=index,
            pts_ns=self._period_ns(index),
        )

    def close(self) -> None:
        """Forget the image. May be called twice, and without having opened."""
        self._frame = None


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Read an image as a screen shows it: uint8 [H, W, 3] RGB, sRGB, on white, owned by the
    caller.

    Raises:
        SourceError: see `read_picture`; or a part of it is missing.
    """
    picture = read_picture(path)
    if picture.damage:
        raise SourceError(picture.damage)
    return srgb_of(picture)


def read_picture(path: str | Path) -> Picture:
    """Read an image at its own size, depth and colour space, upright.

    Grey and palette images become RGB, CMYK becomes sRGB. The turn and mirror that a camera noted
    are applied, of animations the first picture is taken. Of a truncated image what is there is
    read; `damage` then says what is missing.

    Raises:
        SourceError: there is no such file, it is no image, it is damaged, most of it is missing, or
            a library for it is.
    """
    head = read_head(str(path))
    if is_raw(str(path)):
        raise SourceError(f"{path}: camera raw files cannot be read; save it as TIFF or JPEG")
    if not is_image(str(path), head) and not head.startswith(_ANIMATED):
        raise SourceError(f"{path}: not an image; give a PNG, JPEG, WebP, TIFF, HEIC or BMP file")
    try:
        data = read_bounded(Path(path), limits.MAX_FILE_BYTES)
    except OSError as error:
        raise SourceError(
            f"{path}: cannot be read ({error.strerror}); check the disk, or copy the file"
        ) from error
    if is_heif(head):
        return _read_heif(path, data)
    if head[4:12] == b"ftypavif" and (picture := _hdr_by_ffmpeg(path)) is not None:
        return picture
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # readable irregularities of the file
        return _read_by_pillow(path, data) or _read_otherwise(path, data)


def _read_heif(path: str | Path, data: bytes) -> Picture:
    """The primary item, assembled, rotated, mirrored and cropped by libheif."""
    try:
        import pillow_heif
    except ImportError as error:
        raise SourceError(
            f"{path}: HEIC pictures need a library; install it: pip install pillow-heif"
        ) from error
    try:
        found = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
        _check_size(path, *found.size)
        pixels = _of_heif(found)
    except (OSError, ValueError, EOFError, RuntimeError, SyntaxError) as error:
        raise SourceError(
            f"{path}: the HEIC picture is damaged ({error}); copy it again"
        ) from error
    info: dict[str, Any] = found.info
    colours = info.get("nclx_profile") or {}
    transfer = int(colours.get("transfer_characteristics", 0))
    primaries = int(colours.get("color_primaries", 0))
    exif = cleaned_exif(info.get("exif") or b"")
    icc = info.get("icc_profile") or b""
    if transfer in (PQ, HLG):
        pixels, icc = _tone_mapped(pixels, transfer, primaries), b""
    return Picture(
        pixels,
        icc,
        exif,
        left_out=_named({"its depth map": info.get("depth_images")}),
        xmp=cleaned_xmp(info.get("xmp")),
        bits=int(info.get("bit_depth") or 0) if pixels.dtype == np.uint16 else 0,
    )


def _of_heif(found: Any) -> Pixels:
    """The pixels of a HEIC picture. Copied: its memory goes with it in older versions."""
    width, height = found.size
    kind, _, depth = found.mode.partition(";")
    flat = np.frombuffer(found.data, np.uint16 if depth else np.uint8).copy()
    rows = flat.reshape(height, found.stride // flat.itemsize)
    return _as_rgb(rows[:, : width * len(kind)].reshape(height, width, len(kind)))


def _tone_mapped(pixels: Pixels, transfer: int, primaries: int) -> NDArray[np.uint16]:
    """uint16 [H, W, 3], sRGB, of an HDR picture."""
    from av import VideoFrame

    wide = pixels[..., :3].astype(np.uint16)
    if pixels.dtype == np.uint8:
        wide *= 257
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(wide), format="rgb48le")
    frame.color_trc, frame.color_primaries, frame.color_range = transfer, primaries, 2
    presenter = Presenter(Notes())
    (shown,) = [*presenter.show(frame), *presenter.rest()]
    return np.asarray(shown.to_ndarray(format="rgb48le"), np.uint16)


def _hdr_by_ffmpeg(path: str | Path) -> Picture | None:
    """An HDR AVIF, tone-mapped; None if it is not HDR, or consists of tiles."""
    media = Media(str(path), Path(path))
    try:
        media.open()
        if media.transfer not in (PQ, HLG):
            return None
        picture = next(media.pictures(), None)
        if picture is None:
            return None
        return Picture(np.asarray(picture.to_ndarray(format="rgb48le"), np.uint16))
    except SourceError:
        return None
    finally:
        media.close()


def _read_by_pillow(path: str | Path, data: bytes) -> Picture | None:
    """None if Pillow does not know such files, or keeps less of the pixels than others do."""
    image = _opened(path, data)
    is_cut = image is None
    if is_cut and 0 < (missing := missing_in(data)) <= limits.MAX_FILE_BYTES:
        image = _opened(path, data + bytes(missing))
    if image is None:
        return None
    _check_size(path, *image.size)
    raw_exif = image.info.get("exif", b"")  # some plug-ins drop it when pixels are loaded
    orientation = _orientation(image)
    loaded = _loaded(path, image, data, is_cut)
    image, data = loaded.image, loaded.data
    if image.format == "TIFF":  # Pillow and OpenCV turn those themselves
        orientation = 1
    deep = _deep_pixels(image, data)
    icc = image.info.get("icc_profile") or b""
    if deep is not None:
        pixels: Pixels = deep
    elif image.mode in ("F", "I"):
        return None
    else:
        rgb, icc = _to_rgb(image, icc)
        pixels = np.asarray(rgb)
    exif = cleaned_exif(raw_exif or _exif_of(image))
    return Picture(
        _upright(loaded.blank(pixels), orientation),
        icc,
        exif,
        _jpeg_tables(image),
        _left_out(image, data),
        cleaned_xmp(image.info.get("xmp")),
        damage=loaded.damage and f"{path}: {loaded.damage}",
    )


def _check_size(path: str | Path, width: int, height: int) -> None:
    if width * height > limits.max_pixels():
        raise SourceError(f"{path}: {limits.too_large(width, height)}")


def _opened(path: str | Path, data: bytes) -> Image | None:
    """An image without its pixels; None if Pillow knows no such files."""
    from PIL import Image

    try:
        return Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise SourceError(f"{path}: {limits.too_large()}") from error
    except (OSError, ValueError, RuntimeError, SyntaxError):
        return None


def _loaded(path: str | Path, image: Image, data: bytes, is_cut: bool) -> Salvaged:
    """The image with its pixels, as far as they are there.

    is_cut: it could be opened only with an end that was made up.

    Raises:
        SourceError: it is damaged, or most of it is cut off.
    """
    kind, size = image.format or "", image.size
    error = EOFError("truncated") if is_cut else _trouble(image)
    if error is None:
        return Salvaged(image, data, slice(0, 0))
    found = salvage(data, kind, size)
    if found is not None:
        return found
    how = "truncated" if "truncated" in str(error).lower() else f"damaged ({error})"
    raise SourceError(f"{path}: the image is {how}; copy it again") from error


def _trouble(image: Image) -> Exception | None:
    """What happens when the pixels are read."""
    try:
        image.load()
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, MemoryError) as error:
        return error
    except RuntimeError as error:  # of the AVIF reader
        return error
    return None


def _orientation(image: Image) -> int:
    """The EXIF orientation 1..8; 1 if there is none."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - Pillow raises any exception on a broken block
        return 1
    return value if value in range(1, 9) else 1


def _exif_of(image: Image) -> bytes:
    """Collect EXIF from a TIFF's own tags; other files have it in one block."""
    if image.format != "TIFF":
        return b""
    from PIL.Image import Exif

    found, kept = image.getexif(), Exif()
    for tag in (0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x8298):
        if tag in found:
            kept[tag] = found[tag]
    for tag in (0x8769, 0x8825):
        if inner := found.get_ifd(tag):
            kept.get_ifd(tag).update(inner)
    return kept.tobytes() if len(kept) or kept.get_ifd(0x8769) else b""


def _deep_pixels(image: Image, data: bytes) -> Pixels | None:
    """uint16 [H, W, 3 or 4] of a 16-bit image, which Pillow would reduce; None: it has 8 bits."""
    is_png16 = image.format == "PNG" and data[24:25] == b"\x10"  # IHDR: the bit depth
    bits = getattr(image, "tag_v2", {}).get(258, ()) if image.format == "TIFF" else ()
    is_tiff16 = 16 in (bits if isinstance(bits, tuple) else (bits,))
    if not (is_png16 or is_tiff16 or image.mode.startswith("I;16") or image.format == "JPEG2000"):
        return None
    flags = cv2.IMREAD_UNCHANGED | getattr(cv2, "IMREAD_IGNORE_ORIENTATION", 0)
    array = _by_opencv(data, flags)
    return _as_rgb(array) if array is not None and array.dtype == np.uint16 else None


def _by_opencv(data: bytes, flags: int) -> NDArray[Any] | None:
    """[H, W, 3 or 4] RGB or RGBA, or grey [H, W]; None if OpenCV cannot read it."""
    try:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # larger than OpenCV allows, or damaged
        return None
    if array is None or array.ndim == 2:
        return array
    order = [2, 1, 0, 3][: array.shape[2]]
    return np.ascontiguousarray(array[..., order])


def _as_rgb(array: NDArray[Any]) -> Pixels:
    """Convert [H, W], or [H, W, 1 to 4], to [H, W, 3 or 4]; grey and grey with alpha become RGB."""
    flat = array[..., None] if array.ndim == 2 else array
    if flat.shape[2] <= 2:
        flat = np.concatenate([flat[..., :1]] * 3 + [flat[..., 1:]], axis=2)
    return cast("Pixels", np.ascontiguousarray(flat))


def _to_rgb(image: Image, icc: bytes) -> tuple[Image, bytes]:
    """Convert the image to RGB or RGBA; also return its resulting profile."""
    from PIL import Image as Pillow
    from PIL import ImageCms

    mode = image.mode
    if mode in ("RGB", "RGBA") and "transparency" not in image.info:
        return image, icc
    if mode in ("CMYK", "LAB", "L") and icc:
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            screen = ImageCms.createProfile("sRGB")
            changed = ImageCms.profileToProfile(image, own, screen, outputMode="RGB")
            return cast("Image", changed), b""
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    if mode == "LAB":
        lab, screen = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        changed = ImageCms.profileToProfile(image, lab, screen, outputMode="RGB")
        return cast("Image", changed), b""
    has_alpha = mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    if mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[mode])
    keeps = mode in ("RGB", "RGBA", "RGBa", "P", "PA")
    rgb = image.convert("RGBA" if has_alpha else "RGB")
    if has_alpha and np.asarray(rgb)[..., 3].min() == 255:
        rgb = rgb.convert("RGB")
    assert isinstance(rgb, Pillow.Image)
    return rgb, icc if keeps else b""


def _jpeg_tables(image: Image) -> tuple[dict[int, list[int]], int] | None:
    from PIL import JpegImagePlugin

    if image.format not in ("JPEG", "MPO") or image.mode != "RGB":
        return None
    tables = cast("Any", image).quantization
    sampling = JpegImagePlugin.get_sampling(cast("Any", image))
    return (dict(tables), sampling) if tables and sampling >= 0 else None


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Apply the orientation of EXIF 2.32 section 4.6.5."""
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return cast("Pixels", np.ascontiguousarray(pixels))


def _left_out(image: Image, data: bytes) -> tuple[str, ...]:
    count = getattr(image, "n_frames", 1)
    is_animated = count > 1 and image.format in ("GIF", "PNG", "WEBP", "AVIF")
    is_book = count > 1 and image.format == "TIFF"
    return _named(
        {
            f"{_avif_bits(image, data) - 8} of its {_avif_bits(image, data)} bits": (
                _avif_bits(image, data) > 8
            ),
            "the film in it": data.startswith(_JPEG_START) and b"ftyp" in data[-len(data) // 2 :],
            f"all but the first of {count} pictures": is_animated,
            f"all but the first of {count} pages": is_book,
        }
    )


def _avif_bits(image: Image, data: bytes) -> int:
    """Bits of a colour of an AVIF, of which Pillow reads 8: AV1 ISOBMFF binding, section 2.3.3."""
    at = data.find(b"av1C", 0, _HEADER_BYTES) if image.format == "AVIF" else -1
    if at < 0 or at + 7 > len(data):
        return 8
    flags = data[at + 6]
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def _named(parts: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(name for name, is_there in parts.items() if is_there)


def _read_otherwise(path: str | Path, data: bytes) -> Picture:
    """Read with OpenCV, else with FFmpeg, 8 bits.

    Raises:
        SourceError: neither can read it.
    """
    array = _by_opencv(data, cv2.IMREAD_UNCHANGED)
    if array is not None and array.dtype in (np.uint8, np.uint16):
        return Picture(_as_rgb(array))
    if array is not None and array.dtype.kind == "f":  # 0 is black and 1 white
        inside = np.clip(np.nan_to_num(array), 0, 1)
        return Picture(_as_rgb((inside * 65535 + 0.5).astype(np.uint16)))
    array = _by_opencv(data, cv2.IMREAD_COLOR)
    if array is not None:
        return Picture(np.asarray(array, np.uint8))
    media = Media(str(path), Path(path))
    try:
        media.open()
        picture = next(media.pictures(), None)
        if picture is None:
            raise SourceError(
                f"{path}: the image is damaged, or of an unknown kind; save it as PNG"
            )
        rgba = np.asarray(picture.to_ndarray(format="rgba", threads=1), np.uint8)
    finally:
        media.close()
    return Picture(np.asarray(over_white(rgba), np.uint8))
