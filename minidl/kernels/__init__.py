"""Arithmetic on plain arrays, without gradients.

Four rooms hold the same functions: `reference` (loops, the oracle of the tests), `portable` (NumPy or CuPy
expressions), `cpu` (Numba on our own threads) and `gpu` (CUDA). `kernels_for(x)` picks one.
"""

from minidl.kernels.geometry import Padding as Padding
from minidl.kernels.geometry import Pair as Pair
from minidl.kernels.selection import current_choice as current_choice
from minidl.kernels.selection import gpu_kernels as gpu_kernels
from minidl.kernels.selection import kernels_for as kernels_for
from minidl.kernels.selection import may_wait as may_wait
from minidl.kernels.selection import use_kernels as use_kernels

__all__ = ["Padding", "Pair", "current_choice", "gpu_kernels", "kernels_for", "may_wait", "use_kernels"]
