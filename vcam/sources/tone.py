"""Convert HDR and wide-gamut colours to BT.709 with a colour table for FFmpeg's
`haldclut`.

FFmpeg's own conversion (`scale` with `intent=perceptual`) needs four seconds of CPU before the
first picture; this table needs 0.1 s. The tone curve for grey was measured from FFmpeg 8
(libswscale 9.5); ICtCp preserves the hue of colours.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av import VideoFrame

# Numbers of ITU-T H.273, tables 2 (primaries) and 3 (transfer); FFmpeg uses the same.
BT2020, DCI_P3, DISPLAY_P3 = 9, 11, 12
PQ, HLG = 16, 18

_CELLS = 36  # along each axis; a Hald table of level 6
_SIDE_PX = 216
_WHITE_NITS = 203.0  # SDR white, ITU-R BT.2408 section 2
_HLG_PEAK_NITS = 1000.0  # nominal peak of HLG displays, BT.2100 table 5
_PQ_PEAK_NITS = 10_000.0
_SDR_GAMMA = 2.4  # ITU-R BT.1886

# Tone curves: output for input, both as PQ signals, evenly spaced from black to the peak.
_CURVES = {
    _HLG_PEAK_NITS: (
        *(0.0, 0.04, 0.081, 0.123, 0.166, 0.21, 0.255, 0.3, 0.342),
        *(0.38, 0.414, 0.446, 0.476, 0.504, 0.53, 0.556, 0.581),
    ),
    _PQ_PEAK_NITS: (
        *(0.0, 0.048, 0.098, 0.149, 0.201, 0.255, 0.31, 0.365, 0.412),
        *(0.45, 0.482, 0.508, 0.528, 0.545, 0.558, 0.57, 0.581),
    ),
}

_Array = NDArray[np.float64]
_XY = tuple[tuple[float, float], ...]

# CIE 1931 x, y of red, green, blue (H.273 table 2); the white point is D65, also for DCI, as on
# phones.
_P3: _XY = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_PRIMARIES: dict[int, _XY] = {
    BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    DCI_P3: _P3,
    DISPLAY_P3: _P3,
}
_BT709: _XY = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_D65 = (0.3127, 0.3290)

# BT.2100 tables 4, 5 and 7.
_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 4096 * 128
_PQ_C1, _PQ_C2, _PQ_C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593])
_LMS = np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) / 4096
_ICTCP = np.array([[2048, 2048, 0], [6610, -13613, 7003], [17933, -17390, -543]]) / 4096


def is_needed(transfer: int, primaries: int) -> bool:
    """Whether colours with these labels look wrong on a BT.709 screen."""
    return transfer in (PQ, HLG) or primaries in _PRIMARIES


@cache
def colour_table(transfer: int, primaries: int, peak_nits: float = 0.0) -> VideoFrame:
    """Make a Hald table (rgb48le, 216x216) from full-range R'G'B' to BT.709.

    Args:
        transfer: H.273 number; PQ and HLG are tone-mapped, all others are treated as SDR.
        primaries: H.273 number; unknown ones with PQ or HLG are treated as BT.2020.
        peak_nits: of the mastering display, for PQ; 0: unknown.
    """
    from av import VideoFrame

    axis = np.linspace(0, 1, _CELLS)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    signal = np.stack([red, green, blue], axis=-1).reshape(-1, 3)
    if transfer in (PQ, HLG):
        light = _tone_mapped(signal, transfer, primaries, peak_nits)
    else:
        light = signal**_SDR_GAMMA @ _between(_PRIMARIES[primaries], _BT709).T
    out = np.clip(light, 0, 1) ** (1 / _SDR_GAMMA)
    table = np.rint(out * 65535).astype(np.uint16).reshape(_SIDE_PX, _SIDE_PX, 3)
    return VideoFrame.from_ndarray(table, format="rgb48le")


def _tone_mapped(signal: _Array, transfer: int, primaries: int, peak_nits: float) -> _Array:
    """float64 [N, 3]: linear BT.709 light, 1 is white, of an HDR signal [N, 3]."""
    is_low = transfer == HLG or 0 < peak_nits <= 2 * _HLG_PEAK_NITS
    peak = _HLG_PEAK_NITS if is_low else _PQ_PEAK_NITS
    nits = _hlg_nits(signal) if transfer == HLG else np.minimum(_nits_of_pq(signal), peak)
    given = _PRIMARIES.get(primaries, _PRIMARIES[BT2020])
    ictcp = _pq_of_nits(nits @ _between(given, _PRIMARIES[BT2020]).T @ _LMS.T) @ _ICTCP.T
    curve = _CURVES[peak]
    steps = np.linspace(0, float(_pq_of_nits(np.array(peak))), len(curve))
    before = np.maximum(ictcp[:, 0], 1e-6)
    after = np.interp(before, steps, curve)
    chroma = np.minimum(after / before, before / np.maximum(after, 1e-6))  # as BT.2390 section 5.4
    mapped = np.column_stack([after, ictcp[:, 1:] * chroma[:, None]])
    nits = _nits_of_pq(mapped @ np.linalg.inv(_ICTCP).T) @ np.linalg.inv(_LMS).T
    return np.asarray(nits / _WHITE_NITS @ _between(_PRIMARIES[BT2020], _BT709).T)


def _hlg_nits(signal: _Array) -> _Array:
    """BT.2100 table 5: the inverse OETF, then the OOTF of a 1000-nit display."""
    low, high = signal**2 / 3, (np.exp((signal - _HLG_C) / _HLG_A) + _HLG_B) / 12
    scene = np.where(signal <= 0.5, low, high)
    luma = np.maximum(scene @ _LUMA_2020, 1e-9)
    return np.asarray(_HLG_PEAK_NITS * scene * luma[:, None] ** 0.2)


def _nits_of_pq(signal: _Array) -> _Array:
    power = np.maximum(signal, 0) ** (1 / _PQ_M2)
    ratio = np.maximum(power - _PQ_C1, 0) / (_PQ_C2 - _PQ_C3 * power)
    return np.asarray(10_000 * ratio ** (1 / _PQ_M1))


def _pq_of_nits(nits: _Array) -> _Array:
    power = (np.maximum(nits, 0) / 10_000) ** _PQ_M1
    return np.asarray(((_PQ_C1 + _PQ_C2 * power) / (1 + _PQ_C3 * power)) ** _PQ_M2)


def _between(given: _XY, wanted: _XY) -> _Array:
    """float64 [3, 3], from linear light of one set of primaries to another."""
    return np.asarray(np.linalg.inv(_to_xyz(wanted)) @ _to_xyz(given))


def _to_xyz(primaries: _XY) -> _Array:
    """SMPTE RP 177."""
    corners = np.array([[x / y, 1, (1 - x - y) / y] for x, y in (*primaries, _D65)]).T
    return np.asarray(corners[:, :3] * np.linalg.solve(corners[:, :3], corners[:, 3]))
