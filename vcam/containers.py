"""How FFmpeg opens files and streams: by full names, with bounds, and never anything else.

FFmpeg takes a name with a colon for a protocol, and some formats name further files and addresses.
So a file is always opened as `file:` and its full path, and both the protocols and the formats that
may be used are listed here. Words: https://ffmpeg.org/ffmpeg-protocols.html and
https://ffmpeg.org/ffmpeg-formats.html#Format-Options.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vcam import limits

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_FILE_FORMATS = (
    *("mov", "matroska", "webm", "avi", "asf", "flv", "live_flv", "ogg", "mxf", "nut", "wtv"),
    *("mpegts", "mpeg", "mpegvideo", "m4v", "h261", "h263", "h264", "hevc", "vvc", "av1", "obu"),
    *("ivf", "vc1", "vc1test", "dirac", "dv", "gxf", "rm", "mjpeg", "mjpeg_2000", "smjpeg"),
    *("yuv4mpegpipe", "cavsvideo", "avs2", "avs3", "dnxhd", "nsv", "nuv", "gif", "apng"),
    *("webp_pipe", "png_pipe", "jpeg_pipe", "jpegls_pipe", "bmp_pipe", "tiff_pipe", "j2k_pipe"),
    *("hdr_pipe", "exr_pipe", "gif_pipe", "qoi_pipe", "psd_pipe", "jpegxl_pipe", "jpegxl_anim"),
    *("pam_pipe", "pbm_pipe", "pfm_pipe", "pgm_pipe", "ppm_pipe", "phm_pipe", "dpx_pipe"),
    *("wav", "mp3", "aac", "flac", "aiff"),  # to say that they hold no video
    "tty",  # to say that it is a text file
)
"""Formats that hold pictures themselves: not those that name other files, such as hls and concat,
and not those that are devices.
"""
_STREAM_FORMATS = (*_FILE_FORMATS, "hls", "rtsp", "rtp", "mpjpeg")

_DEFAULT = 0x1  # of AV_DISPOSITION_* in <libavformat/avformat.h>
_NO_FILM = 0x400 | 0x800  # attached picture, timed thumbnails

SCHEMES: Mapping[str, tuple[str, ...]] = {
    "http": ("http", "https", "tcp", "tls", "httpproxy", "crypto"),
    "https": ("http", "https", "tcp", "tls", "httpproxy", "crypto"),
    "rtmp": ("rtmp", "tcp"),
    "rtsp": ("rtsp", "rtp", "srtp", "udp", "tcp"),
    "udp": ("udp",),
}
"""Schemes of addresses, and the protocols that a stream of such an address may use."""


def open_file(path: str | Path, options: Mapping[str, str] | None = None) -> InputContainer:
    """Open a file of this machine, also a pipe, whatever its name looks like.

    Raises:
        av.FFmpegError, OSError, ValueError: it cannot be opened.
    """
    limits.check_boxes(Path(path))
    address = f"file:{Path(path).absolute()}"
    return _open(address, ("file",), _FILE_FORMATS, options or {}, None)


def open_stream(
    url: str,
    options: Mapping[str, str] | None = None,
    timeouts: tuple[float, float] | None = None,
) -> InputContainer:
    """Open an address whose scheme is one of `SCHEMES`.

    Args:
        url: the address.
        options: for FFmpeg's demuxer.
        timeouts: seconds to wait while opening, and for each packet; None: for ever.

    Raises:
        av.FFmpegError, OSError, ValueError: it cannot be opened.
    """
    scheme, colon, rest = url.partition("://")
    protocols = SCHEMES.get(scheme.lower())
    if protocols is None or not colon:
        raise ValueError(f"an address of this kind is not opened; known: {', '.join(SCHEMES)}")
    return _open(f"{scheme.lower()}://{rest}", protocols, _STREAM_FORMATS, options or {}, timeouts)


def film_of(container: InputContainer) -> VideoStream | None:
    """The video stream that is shown: the largest, unless another one is the default. Covers and
    thumbnails are no video. As FFmpeg's command chooses (fftools/ffmpeg_mux_init.c).
    """
    films = [
        stream
        for stream in container.streams.video
        if stream.codec_context is not None and not int(stream.disposition) & _NO_FILM
    ]
    return max(films, key=_importance, default=None)


def _importance(stream: VideoStream) -> int:
    context = stream.codec_context
    return context.width * context.height + 5_000_000 * bool(int(stream.disposition) & _DEFAULT)


def _open(
    address: str,
    protocols: tuple[str, ...],
    formats: tuple[str, ...],
    options: Mapping[str, str],
    timeouts: tuple[float, float] | None,
) -> InputContainer:
    import av

    bounds = {
        "protocol_whitelist": ",".join(protocols),
        "format_whitelist": ",".join(formats),
        "max_pixels": str(limits.max_pixels()),  # of the decoders that look at the first packets
    }
    container = av.open(address, options={**options, **bounds}, timeout=timeouts)
    try:
        limits.check_container(container)
        for stream in container.streams.video:
            if stream.codec_context is not None:  # and of those that decode all of it
                stream.codec_context.options = {"max_pixels": str(limits.max_pixels())}
    except BaseException:
        container.close()
        raise
    return container
