"""The same call in minidl and in PyTorch: same values, shapes, dtypes, gradients, and both refuse or neither."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minidl as dl

torch = pytest.importorskip("torch")

TOLERANCE = {"float64": 1e-10, "float32": 2e-5, "float16": 2e-2}
FLOATS = ("float64", "float32", "float16")
DTYPES = (*FLOATS, "int64", "int32", "uint8", "bool")


def outputs(y: Any) -> list[Any]:
    """The results as a list, whatever they came in."""
    return list(y) if isinstance(y, tuple | list) else [y]


def same(
    ours: Callable[..., Any],
    theirs: Callable[..., Any],
    *arrays: Any,
    gradients: bool = True,
    tolerance: float | None = None,
    seed: int = 0,
) -> None:
    """Call both with tensors of the arrays (other arguments pass as they are) and compare everything.

    The gradients are those of ⟨g, y⟩ with a drawn g, with respect to every floating array.
    """
    differentiable = [isinstance(a, np.ndarray) and a.dtype.kind == "f" and gradients for a in arrays]
    xs = [dl.tensor(a, requires_grad=d) if isinstance(a, np.ndarray) else a for a, d in zip(arrays, differentiable)]
    ts = [
        torch.tensor(a.copy(), requires_grad=d) if isinstance(a, np.ndarray) else a
        for a, d in zip(arrays, differentiable)
    ]
    with np.errstate(all="ignore"):
        ys, us = outputs(ours(*xs)), outputs(theirs(*ts))
    assert len(ys) == len(us)
    rng = np.random.default_rng(seed)
    gys, gus = [], []
    for y, u in zip(ys, us, strict=True):
        if not isinstance(u, torch.Tensor):
            assert y == u
            continue
        assert tuple(y.shape) == tuple(u.shape)
        assert y.dtype.name == str(u.dtype).removeprefix("torch.")
        agree(y.detach().numpy(), u.detach().numpy(), tolerance)
        assert y.requires_grad == u.requires_grad
        g = np.asarray(rng.uniform(0.5, 1.5, tuple(u.shape))).astype(y.dtype if y.dtype.kind == "f" else "f4")
        gys.append((y, g))
        gus.append((u, g))
    kept = [i for i, (u, _) in enumerate(gus) if u.requires_grad]
    if not kept:
        return
    with np.errstate(all="ignore"):
        dl.autograd.backward([gys[i][0] for i in kept], [dl.tensor(gys[i][1]) for i in kept])
    torch.autograd.backward([gus[i][0] for i in kept], [torch.tensor(gus[i][1]) for i in kept])
    for x, t, d in zip(xs, ts, differentiable):
        if d:
            assert (x.grad is None) == (t.grad is None)
            if x.grad is not None:
                assert x.grad.dtype == x.dtype
                assert tuple(x.grad.shape) == tuple(x.shape)
                agree(x.grad.numpy(), t.grad.numpy(), tolerance)


def agree(y: Any, u: Any, tolerance: float | None) -> None:
    """Equal integers; floats within what their dtype can hold."""
    if u.dtype.kind in "iub":
        np.testing.assert_array_equal(y, u)
        return
    limit = tolerance if tolerance is not None else TOLERANCE[u.dtype.name]
    np.testing.assert_allclose(np.asarray(y, "f8"), np.asarray(u, "f8"), rtol=limit, atol=limit)


def both_refuse(ours: Callable[..., Any], theirs: Callable[..., Any], *arrays: Any) -> str:
    """Both raise; minidl with a sentence, which is returned."""
    with pytest.raises((RuntimeError, IndexError, ValueError, TypeError)):
        theirs(*[torch.tensor(a) if isinstance(a, np.ndarray) else a for a in arrays])
    with pytest.raises((RuntimeError, IndexError, ValueError, TypeError)) as caught:
        ours(*[dl.tensor(a) if isinstance(a, np.ndarray) else a for a in arrays])
    sentence = str(caught.value)
    assert len(sentence) > 20, f"no sentence: {sentence!r}"
    return sentence


@st.composite
def arrays(
    draw: Any,
    shapes: Any = None,
    dtypes: Sequence[str] = FLOATS,
    low: float = -3.0,
    high: float = 3.0,
    distinct: bool = False,
    gap: float = 0.0,
) -> Any:
    """An array of a drawn shape and dtype; `distinct` values lie apart from each other, and `gap` from zero."""
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4) if shapes is None else shapes)
    dtype = draw(st.sampled_from(dtypes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = int(np.prod(shape, dtype=np.int64))
    if dtype == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype in ("int64", "int32", "uint8"):
        x = rng.integers(0 if dtype == "uint8" or low >= 0 else -9, 10, shape)
        return np.asarray(np.where(x == 0, 1, x) if gap else x).astype(dtype)
    if distinct:
        spread = np.linspace(low, high, max(size, 2))[:size]
        x = rng.permutation(spread + 0.013).reshape(shape)
    else:
        x = rng.uniform(low, high, shape)
    x = np.asarray(x + np.sign(x) * gap)
    return x.astype(dtype)


@st.composite
def broadcasting(draw: Any, count: int = 2) -> Any:
    """Shapes that broadcast to each other, down to zero dimensions and zero elements (T7)."""
    drawn = draw(hnp.mutually_broadcastable_shapes(num_shapes=count, min_dims=0, max_dims=4, min_side=0, max_side=4))
    return drawn.input_shapes


@st.composite
def dims(draw: Any, ndim: int, several: bool = True) -> Any:
    """None, one dimension or (some operations) several, counted from either end."""
    room = max(ndim, 1)
    one = st.integers(-room, room - 1)
    if not several or not ndim:
        return draw(one)
    some = st.lists(st.integers(0, ndim - 1), min_size=1, max_size=ndim, unique=True)
    chosen = draw(st.one_of(st.none(), one, some))
    if isinstance(chosen, list):
        return tuple([d - ndim if draw(st.booleans()) else d for d in chosen])
    return chosen
