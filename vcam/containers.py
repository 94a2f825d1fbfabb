"""Open files and streams with FFmpeg: by full names, with bounds, from an allow-list.

FFmpeg treats a name with a colon as a protocol, and some formats refer to other files and URLs.
So a file is always opened as `file:` with its full path, and only the protocols and formats listed
here are allowed. Names: https://ffmpeg.org/ffmpeg-protocols.html and
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
    *("wav", "mp3", "aac", "flac", "aiff"),  # to report that they contain no video
    "tty",  # to report that it is a text file
)
"""Formats that contain their pictures. Formats that refer to other files (hls, concat) and
devices are excluded.
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
"""URL schemes, and the protocols that a stream of each scheme may use."""


def open_file(path: str | Path, options: Mapping[str, str] | None = None) -> InputContainer:
    """Open a local file or pipe, whatever its name looks like.

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
    """Open a URL whose scheme is one of `SCHEMES`.

    Args:
        url: the address.
        options: for FFmpeg's demuxer.
        timeouts: seconds to wait for the connection and for each packet; None: no limit.

    Raises:
        av.FFmpegError, OSError, ValueError: it cannot be opened.
    """
    scheme, colon, rest = url.partition("://")
    protocols = SCHEMES.get(scheme.lower())
    if protocols is None or not colon:
        raise ValueError(f"an address of this kind is not opened; known: {', '.join(SCHEMES)}")
    return _open(f"{scheme.lower()}://{rest}", protocols, _STREAM_FORMATS, options or {}, timeouts)


def film_of(container: InputContainer) -> VideoStream | None:
    """Return the video stream to show: the default one, else the largest; covers and thumbnails do
    not count. FFmpeg's command chooses the same way (fftools/ffmpeg_mux_init.c).
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
        "max_pixels": str(limits.max_pixels()),  # for the decoders that probe the first packets
    }
    container = av.open(address, options={**options, **bounds}, timeout=timeouts)
    try:
        limits.check_container(container)
        for stream in container.streams.video:
            if stream.codec_context is not None:  # and for those that decode the rest
                stream.codec_context.options = {"max_pixels": str(limits.max_pixels())}
    except BaseException:
        container.close()
        raise
    return container
