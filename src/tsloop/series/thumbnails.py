"""Small pictures of whole series: a line, gaps shaded, no axes, the same bytes every time.

The line is drawn like an oscilloscope does: every column shows the range of its rows, so a spike of
one row in ten million is there. Written as an indexed PNG with transparency, which suits a light
and a dark page; drawing one takes about a millisecond.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "draw_thumbnail", "encode_png"]

_SCALE = 3  # sub-pixels per pixel and axis, averaged for smooth edges
_SHADES = 16
_LINE = (37, 99, 235)
_GAP = (148, 163, 184)
_GAP_ALPHA = 70

Floats = npt.NDArray[np.float64]


def draw_thumbnail(
    values: Floats, width: int = 240, height: int = 60, *, opaque: bool = False
) -> bytes:
    """A PNG of ``values`` (NaN is a gap), x by row number and y from lowest to highest value.

    ``opaque`` puts it on white, for readers (vision models) that ignore transparency.
    """
    columns, rows = width * _SCALE, height * _SCALE
    shades = np.zeros((height, width), dtype=np.uint8)
    low, high, gap = _column_ranges(values, columns)
    seen = ~np.isnan(low)
    if seen.any():
        ink = _ink(low, high, seen, rows)
        cover = ink.reshape(height, _SCALE, width, _SCALE).mean(axis=(1, 3))
        shades = np.rint(cover * (_SHADES - 1)).astype(np.uint8)
    gaps = gap.reshape(width, _SCALE).any(axis=1)
    shades[:, gaps] = np.where(shades[:, gaps] == 0, _SHADES, shades[:, gaps])
    alphas = [round(255 * shade / (_SHADES - 1)) for shade in range(_SHADES)]
    colours = [(*_LINE, alpha) for alpha in alphas] + [(*_GAP, _GAP_ALPHA)]
    return encode_png(shades, [_on_white(c) for c in colours] if opaque else colours)


def _on_white(colour: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    red, green, blue, alpha = colour
    r, g, b = (round(255 + (part - 255) * alpha / 255) for part in (red, green, blue))
    return r, g, b, 255


def _column_ranges(values: Floats, columns: int) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Lowest and highest value in each column (NaN: none), and whether a row is missing there."""
    n_rows = len(values)
    if n_rows == 0:
        nothing = np.full(columns, np.nan)
        return nothing, nothing, np.ones(columns, dtype=bool)
    edges = np.linspace(0, n_rows, columns + 1).astype(np.int64)
    starts = np.minimum(edges[:-1], n_rows - 1)
    missing = np.isnan(values)
    low = np.minimum.reduceat(np.where(missing, np.inf, values), starts)
    high = np.maximum.reduceat(np.where(missing, -np.inf, values), starts)
    gap = np.logical_or.reduceat(missing, starts)
    nothing = low > high
    low[nothing] = high[nothing] = np.nan
    return low, high, gap


def _ink(
    low: Floats, high: Floats, seen: npt.NDArray[np.bool_], rows: int
) -> npt.NDArray[np.bool_]:
    """Shape ``(rows, columns)``: where the line is; neighbouring columns are joined."""
    floor, ceiling = float(np.nanmin(low)), float(np.nanmax(high))
    # Halves keep the difference of two large numbers finite; a flat line runs through the middle.
    half_span = ceiling / 2 - floor / 2
    margin = 2 * _SCALE

    def to_row(level: Floats) -> Floats:
        share = (level / 2 - floor / 2) / half_span if half_span > 0 else np.full(len(level), 0.5)
        return margin + (1 - share) * (rows - 1 - 2 * margin)

    top, bottom = to_row(high), to_row(low)
    both = seen[1:] & seen[:-1]
    # Reach half-way to the neighbour, so that steep edges stay connected.
    for here, there in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
        reach_up = np.where(both, (bottom[there] + top[here]) / 2, top[here])
        reach_down = np.where(both, (top[there] + bottom[here]) / 2, bottom[here])
        top[here] = np.fmin(top[here], reach_up)
        bottom[here] = np.fmax(bottom[here], reach_down)
    grid = np.arange(rows)[:, None]
    ink: npt.NDArray[np.bool_] = (grid >= np.rint(top) - 1) & (grid <= np.rint(bottom) + 1) & seen
    wide = ink.copy()
    wide[:, 1:] |= ink[:, :-1]
    wide[:, :-1] |= ink[:, 1:]
    return wide


def encode_png(pixels: npt.NDArray[np.uint8], colours: list[tuple[int, int, int, int]]) -> bytes:
    """An indexed PNG: ``pixels`` of shape (height, width) point into ``colours`` (red … alpha)."""
    height, width = pixels.shape
    scanlines = np.zeros((height, width + 1), dtype=np.uint8)
    scanlines[:, 1:] = pixels
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    palette = b"".join(bytes(colour[:3]) for colour in colours)
    alphas = bytes(colour[3] for colour in colours)
    chunks = [
        (b"IHDR", header),
        (b"PLTE", palette),
        (b"tRNS", alphas),
        (b"IDAT", zlib.compress(scanlines.tobytes(), 6)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
