"""The part of <linux/videodev2.h> that vcam uses, with the kernel's names.

Structures are laid out for the machine that imports this module. Unions have only the members that
vcam uses, and those that determine size and alignment.
"""

from __future__ import annotations

from ctypes import (
    Array,
    Structure,
    Union,
    c_char,
    c_int,
    c_int64,
    c_long,
    c_uint8,
    c_uint32,
    c_ulong,
    c_void_p,
    sizeof,
)

V4L2_CAP_VIDEO_CAPTURE = 0x00000001
V4L2_CAP_VIDEO_OUTPUT = 0x00000002
V4L2_CAP_DEVICE_CAPS = 0x80000000
V4L2_BUF_TYPE_VIDEO_CAPTURE = 1
V4L2_BUF_TYPE_VIDEO_OUTPUT = 2
V4L2_FIELD_NONE = 1
V4L2_COLORSPACE_SRGB = 8
V4L2_XFER_FUNC_SRGB = 2
V4L2_YCBCR_ENC_601 = 1
V4L2_QUANTIZATION_LIM_RANGE = 2
V4L2_PIX_FMT_PRIV_MAGIC = 0xFEEDCAFE
V4L2_FRMSIZE_TYPE_DISCRETE = 1
V4L2_FRMIVAL_TYPE_DISCRETE = 1
V4L2_EVENT_PRIVATE_START = 0x08000000
V4L2_EVENT_SUB_FL_SEND_INITIAL = 1
VIDEO_MAX_FRAME = 32


class v4l2_capability(Structure):
    """Driver, name and capabilities of a node."""

    _fields_ = (
        ("driver", c_char * 16),
        ("card", c_char * 32),
        ("bus_info", c_char * 32),
        ("version", c_uint32),
        ("capabilities", c_uint32),
        ("device_caps", c_uint32),
        ("reserved", c_uint32 * 3),
    )
    driver: bytes
    card: bytes
    bus_info: bytes
    capabilities: int
    device_caps: int


class v4l2_fmtdesc(Structure):
    """One pixel format of a node."""

    _fields_ = (
        ("index", c_uint32),
        ("type", c_uint32),
        ("flags", c_uint32),
        ("description", c_char * 32),
        ("pixelformat", c_uint32),
        ("mbus_code", c_uint32),
        ("reserved", c_uint32 * 3),
    )
    index: int
    type: int
    pixelformat: int


class v4l2_frmsize_discrete(Structure):
    """A frame size."""

    _fields_ = (("width", c_uint32), ("height", c_uint32))
    width: int
    height: int


class v4l2_frmsize_stepwise(Structure):
    """A range of frame sizes."""

    _fields_ = (
        ("min_width", c_uint32),
        ("max_width", c_uint32),
        ("step_width", c_uint32),
        ("min_height", c_uint32),
        ("max_height", c_uint32),
        ("step_height", c_uint32),
    )
    min_width: int
    max_width: int
    step_width: int
    min_height: int
    max_height: int
    step_height: int


class _FrmSize(Union):
    _fields_ = (("discrete", v4l2_frmsize_discrete), ("stepwise", v4l2_frmsize_stepwise))


class v4l2_frmsizeenum(Structure):
    """One frame size of a pixel format, or a range of them."""

    _anonymous_ = ("_union",)
    _fields_ = (
        ("index", c_uint32),
        ("pixel_format", c_uint32),
        ("type", c_uint32),
        ("_union", _FrmSize),
        ("reserved", c_uint32 * 2),
    )
    index: int
    pixel_format: int
    type: int
    discrete: v4l2_frmsize_discrete
    stepwise: v4l2_frmsize_stepwise


class v4l2_fract(Structure):
    """A fraction, for instance of a second."""

    _fields_ = (("numerator", c_uint32), ("denominator", c_uint32))
    numerator: int
    denominator: int


class v4l2_frmival_stepwise(Structure):
    """A range of frame intervals."""

    _fields_ = (("min", v4l2_fract), ("max", v4l2_fract), ("step", v4l2_fract))
    min: v4l2_fract
    max: v4l2_fract
    step: v4l2_fract


class _FrmIval(Union):
    _fields_ = (("discrete", v4l2_fract), ("stepwise", v4l2_frmival_stepwise))


class v4l2_frmivalenum(Structure):
    """One frame interval of a frame size, or a range of them."""

    _anonymous_ = ("_union",)
    _fields_ = (
        ("index", c_uint32),
        ("pixel_format", c_uint32),
        ("width", c_uint32),
        ("height", c_uint32),
        ("type", c_uint32),
        ("_union", _FrmIval),
        ("reserved", c_uint32 * 2),
    )
    index: int
    pixel_format: int
    width: int
    height: int
    type: int
    discrete: v4l2_fract
    stepwise: v4l2_frmival_stepwise


class v4l2_pix_format(Structure):
    """A picture format."""

    _fields_ = (
        ("width", c_uint32),
        ("height", c_uint32),
        ("pixelformat", c_uint32),
        ("field", c_uint32),
        ("bytesperline", c_uint32),
        ("sizeimage", c_uint32),
        ("colorspace", c_uint32),
        ("priv", c_uint32),
        ("flags", c_uint32),
        ("ycbcr_enc", c_uint32),
        ("quantization", c_uint32),
        ("xfer_func", c_uint32),
    )
    width: int
    height: int
    pixelformat: int
    bytesperline: int
    sizeimage: int


class _Format(Union):
    _fields_ = (
        ("pix", v4l2_pix_format),
        ("raw_data", c_uint8 * 200),
        ("_pointer", c_void_p),  # v4l2_window has pointers, which determine the alignment
    )
    pix: v4l2_pix_format


class v4l2_format(Structure):
    """A picture format for one direction."""

    _fields_ = (("type", c_uint32), ("fmt", _Format))
    type: int
    fmt: _Format


class v4l2_outputparm(Structure):
    """Parameters of an output; `timeperframe` in seconds."""

    _fields_ = (
        ("capability", c_uint32),
        ("outputmode", c_uint32),
        ("timeperframe", v4l2_fract),
        ("extendedmode", c_uint32),
        ("writebuffers", c_uint32),
        ("reserved", c_uint32 * 4),
    )
    timeperframe: v4l2_fract


class _StreamParm(Union):
    _fields_ = (("output", v4l2_outputparm), ("raw_data", c_uint8 * 200))
    output: v4l2_outputparm


class v4l2_streamparm(Structure):
    """Parameters for one direction."""

    _fields_ = (("type", c_uint32), ("parm", _StreamParm))
    type: int
    parm: _StreamParm


class timeval(Structure):
    """Time in seconds and microseconds."""

    _fields_ = (("tv_sec", c_long), ("tv_usec", c_long))


class timespec(Structure):
    """Time in seconds and nanoseconds."""

    _fields_ = (("tv_sec", c_long), ("tv_nsec", c_long))


class v4l2_timecode(Structure):
    """A time code in a video signal."""

    _fields_ = (
        ("type", c_uint32),
        ("flags", c_uint32),
        ("frames", c_uint8),
        ("seconds", c_uint8),
        ("minutes", c_uint8),
        ("hours", c_uint8),
        ("userbits", c_uint8 * 4),
    )


class _BufferMemory(Union):
    _fields_ = (("offset", c_uint32), ("userptr", c_ulong), ("planes", c_void_p), ("fd", c_int))
    offset: int


class v4l2_buffer(Structure):
    """One buffer of a node."""

    _fields_ = (
        ("index", c_uint32),
        ("type", c_uint32),
        ("bytesused", c_uint32),
        ("flags", c_uint32),
        ("field", c_uint32),
        ("timestamp", timeval),
        ("timecode", v4l2_timecode),
        ("sequence", c_uint32),
        ("memory", c_uint32),
        ("m", _BufferMemory),
        ("length", c_uint32),
        ("reserved2", c_uint32),
        ("request_fd", c_int),
    )
    index: int
    type: int
    m: _BufferMemory


class v4l2_event_subscription(Structure):
    """A request for one type of event."""

    _fields_ = (
        ("type", c_uint32),
        ("id", c_uint32),
        ("flags", c_uint32),
        ("reserved", c_uint32 * 5),
    )


class _EventData(Union):
    _fields_ = (
        ("data", c_uint8 * 64),
        ("_value64", c_int64),  # v4l2_event_ctrl has one, which determines the alignment
    )
    data: Array[c_uint8]


class v4l2_event(Structure):
    """One event."""

    _fields_ = (
        ("type", c_uint32),
        ("u", _EventData),
        ("pending", c_uint32),
        ("sequence", c_uint32),
        ("timestamp", timespec),
        ("id", c_uint32),
        ("reserved", c_uint32 * 8),
    )
    type: int
    u: _EventData


_READ, _WRITE = 2, 1


def _ioctl_number(direction: int, number: int, argument: type[Structure] | type[c_int]) -> int:
    """`_IOC` of <asm-generic/ioctl.h> for the letter V."""
    return direction << 30 | sizeof(argument) << 16 | ord("V") << 8 | number


VIDIOC_QUERYCAP = _ioctl_number(_READ, 0, v4l2_capability)
VIDIOC_ENUM_FMT = _ioctl_number(_READ | _WRITE, 2, v4l2_fmtdesc)
VIDIOC_S_FMT = _ioctl_number(_READ | _WRITE, 5, v4l2_format)
VIDIOC_QUERYBUF = _ioctl_number(_READ | _WRITE, 9, v4l2_buffer)
VIDIOC_STREAMON = _ioctl_number(_WRITE, 18, c_int)
VIDIOC_S_PARM = _ioctl_number(_READ | _WRITE, 22, v4l2_streamparm)
VIDIOC_ENUM_FRAMESIZES = _ioctl_number(_READ | _WRITE, 74, v4l2_frmsizeenum)
VIDIOC_ENUM_FRAMEINTERVALS = _ioctl_number(_READ | _WRITE, 75, v4l2_frmivalenum)
VIDIOC_DQEVENT = _ioctl_number(_READ, 89, v4l2_event)
VIDIOC_SUBSCRIBE_EVENT = _ioctl_number(_WRITE, 90, v4l2_event_subscription)
