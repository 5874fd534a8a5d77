"""3×3 convolution in 16 multiplications for every 2×2 outputs instead of 36: Winograd's minimal filtering.

A 2×2 tile of outputs sees a 4×4 patch d of x. With the filter g,

    y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A        ⊙ multiplies number by number

         1  0 −1  0           1   0   0           1  1  1  0
    Bᵀ = 0  1  1  0       G = ½   ½   ½      Aᵀ = 0  1 −1 −1
         0 −1  1  0           ½  −½   ½
         0  1  0 −1           0   0   1

In one dimension that is y₀ = m₀ + m₁ + m₂ and y₁ = m₁ − m₂ − m₃ from four products m, where one would think of six; in
two dimensions 4·4 instead of 6·6. The transforms only add and halve. They are linear, so G g Gᵀ is taken once for each
filter, Bᵀ d B once for each patch, and Aᵀ M A once for the sum over channels: what remains are 16 products of matrices,
filters × channels by channels × tiles, one for each place in the 4×4 square. With factors of 1 and ½ little is lost:
results are as close to float64 as those of the direct sum.

Patches start two rows and columns apart. Dealt out by even and odd rows and columns (`planes`), tile t finds number
(i, j) of its patch at a constant distance from t, so every transform works on whole vectors of tiles. The outputs of a
tile come out as four vectors. Where 2×2 max pooling follows they are its windows, ready to compare (`winograd_pool`).

Larger windows are cut into pieces of 3×3, each with patches of its own, as if each were another input channel.

Sources: Winograd, "Arithmetic complexity of computations" (1980); Lavin and Gray, "Fast algorithms for convolutional
neural networks" (2016).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from minidl.backend import Array
from minidl.kernels.cpu.filters import blocks_of
from minidl.kernels.cpu.jit import jit
from minidl.kernels.cpu.planes import tap_offsets
from minidl.kernels.cpu.simd import LANES
from minidl.kernels.cpu.stencils import stencil
from minidl.kernels.cpu.tiles import ROWS
from minidl.kernels.cpu.vectors import Number, elementwise, select
from minidl.kernels.geometry import Convolution, Pair, Windows

PLACES = 16
"""Numbers in a patch, and products for each tile."""
CHANNELS = 24
"""With at least so many channels in and out, the saved products outweigh the transforms."""
_ALIKE = 128
"""Where fewer than one number in so many holds most of the energy, they are not alike."""
WORTH = 0.65
"""The largest part of the products that may remain: 3×3 keeps 16 of 36, 5×5 64 of 100, 4×4 64 of 64."""


# ── the three transforms ──────────────────────────────────────────────────────────────────────────


def patch_columns(a: Number, b: Number, c: Number, d: Number) -> tuple[Number, Number, Number, Number]:
    """Bᵀ (a, b, c, d)."""
    return a - c, b + c, c - b, b - d


def filter_columns(a: Number, b: Number, c: Number) -> tuple[Number, Number, Number, Number]:
    """G (a, b, c)."""
    outer = a + c
    return a, (outer + b) * 0.5, (outer - b) * 0.5, c


def output_columns(a: Number, b: Number, c: Number, d: Number) -> tuple[Number, Number]:
    """Aᵀ (a, b, c, d)."""
    return a + b + c, b - c - d


@stencil(inputs=16, outputs=16)
def transform_patches(*d: Number) -> list[Number]:
    """Bᵀ d B, row after row."""
    columns = [patch_columns(*d[j::4]) for j in range(4)]
    return [number for row in zip(*columns, strict=True) for number in patch_columns(*row)]


@stencil(inputs=9, outputs=16)
def _transform_filters(*g: Number) -> list[Number]:
    """G g Gᵀ, row after row."""
    columns = [filter_columns(*g[j::3]) for j in range(3)]
    return [number for row in zip(*columns, strict=True) for number in filter_columns(*row)]


@stencil(inputs=16, outputs=4)
def transform_outputs(*m: Number) -> list[Number]:
    """Aᵀ m A, row after row."""
    columns = [output_columns(*m[j::4]) for j in range(4)]
    return [number for row in zip(*columns, strict=True) for number in output_columns(*row)]


# ── what may be transformed ───────────────────────────────────────────────────────────────────────


@elementwise(outputs=0, sums=3)
def powers(x: Number) -> tuple[Number, Number, Number]:
    """Σ x², Σ x⁴, and how many numbers are not 0."""
    square = x * x
    return square, square * square, select(square > 0, square * 0 + 1, 0.0)


@jit
def is_moderate(squares: float, fourths: float, count: float) -> bool:
    """Whether numbers with these `powers` may be transformed, the rounding errors of each reaching others.

    Not so with nan or infinity, and not where a few numbers are so large that the rest drowns in their rounding:
    (Σ x²)² / Σ x⁴ is how many numbers hold most of the energy, all if they are alike and 1 if one outweighs the others.
    """
    return fourths < np.inf and squares * squares >= fourths * (1.5 + count / _ALIKE)


# ── the sizes ─────────────────────────────────────────────────────────────────────────────────────


def pieces_of(v: Windows) -> Pair:
    """How many pieces of 3×3 a window is cut into, downwards and across; the last are filled up with zeros."""
    return -(-v.KH // 3), -(-v.KW // 3)


def pays(s: Convolution) -> bool:
    """True where this way saves enough: windows one apart that pieces fill well, and channels enough."""
    v, (down, across) = s.windows, pieces_of(s.windows)
    saved = down * across * PLACES <= WORTH * 4 * v.KH * v.KW
    return saved and (v.SH, v.SW, v.DH, v.DW) == (1, 1, 1, 1) and min(s.C, s.O) // s.G >= CHANNELS


def pays_back(s: Convolution) -> bool:
    """The same for the input gradient, which is no convolution if the padding exceeds the window's reach."""
    v = s.windows
    return pays(s) and max(v.top, v.bottom) < v.KH and max(v.left, v.right) < v.KW


def tiles_of(s: Convolution, TH: int, TW: int) -> Convolution:
    """TH×TW tiles from the upper left corner, as a convolution: windows two apart, perhaps half outside.

    They are 4×4 for one piece, and three larger for every further one.
    """
    v, (down, across) = s.windows, pieces_of(s.windows)
    bottom, right = 2 * TH + 3 * down - 1 - v.H - v.top, 2 * TW + 3 * across - 1 - v.W - v.left
    border = v.top, max(0, bottom), v.left, max(0, right)
    return s._replace(windows=Windows(v.H, v.W, 3 * down + 1, 3 * across + 1, 2, 2, *border, 1, 1, TH, TW))


def gradient_of(s: Convolution) -> Convolution:
    """The convolution with turned filters that takes the output gradient back to the input."""
    v = s.windows
    border = v.KH - 1 - v.top, v.KH - 1 - v.bottom, v.KW - 1 - v.left, v.KW - 1 - v.right
    return Convolution(s.N, s.O, s.C, s.G, Windows(v.OH, v.OW, v.KH, v.KW, 1, 1, *border, 1, 1, v.H, v.W))


@lru_cache(maxsize=64)
def piece_taps(tiles: Convolution) -> Array:
    """Where the numbers of a patch lie behind its tile's place in the planes, piece after piece."""
    v = tiles.windows
    all_taps = tap_offsets(tiles)[: v.KH * v.KW].reshape(v.KH, v.KW)
    corners = [(i, j) for i in range(0, v.KH - 1, 3) for j in range(0, v.KW - 1, 3)]
    return np.concatenate([all_taps[i : i + 4, j : j + 4].ravel() for i, j in corners])


@jit
def part_of(tiles: int, part: int, parts: int) -> tuple[int, int]:
    """The first tile of a part, and the first behind it: whole vectors but at the end."""
    vectors = (tiles + LANES - 1) // LANES
    return part * vectors // parts * LANES, min(tiles, (part + 1) * vectors // parts * LANES)


# ── filters ───────────────────────────────────────────────────────────────────────────────────────


def forward_filters(w: Array, s: Convolution) -> tuple[Array, bool]:
    """The filters of `conv2d`, and whether they may be used."""
    return _transformed(w.reshape(s.G, s.O // s.G, s.C // s.G, *w.shape[2:]), pieces_of(s.windows))


def gradient_filters(w: Array, s: Convolution) -> tuple[Array, bool]:
    """The filters of `conv2d_input_grad`: turned by 180°, input channels as rows."""
    turned = w.reshape(s.G, s.O // s.G, s.C // s.G, *w.shape[2:])[..., ::-1, ::-1].swapaxes(1, 2)
    return _transformed(turned, pieces_of(s.windows))


def _transformed(w: Array, pieces: Pair) -> tuple[Array, bool]:
    """G g Gᵀ of w (G,M,C,KH,KW), [g][block][place][c][piece][row]; and whether they may be used."""
    (G, M, C), (down, across) = w.shape[:3], pieces
    blocks = blocks_of(M)
    if w.shape[1:] != (blocks * ROWS, C, 3 * down, 3 * across):
        padded = np.zeros((G, blocks * ROWS, C, 3 * down, 3 * across), np.float32)
        padded[:, :M, :, : w.shape[3], : w.shape[4]] = w
        w = padded
    taps = w.reshape(G, blocks, ROWS, C, down, 3, across, 3).transpose(0, 1, 5, 7, 3, 4, 6, 2)
    n = C * down * across * ROWS
    filters = np.empty(G * blocks * PLACES * n, np.float32)
    return filters, _transform_blocks(np.ascontiguousarray(taps).reshape(-1), G * blocks, n, filters)


@jit
def _transform_blocks(taps: Array, blocks: int, n: int, filters: Array) -> bool:
    for block in range(blocks):
        _transform_filters(n, taps, block * 9 * n, n, filters, block * PLACES * n, n)
    squares, fourths, count = powers(filters.size, filters, 0)
    return is_moderate(squares, fourths, count)
