"""Optimizers touch arrays only through what CuPy has too: a stand-in that refuses to become a NumPy array."""

from __future__ import annotations

import operator
import sys
import types

import numpy as np
import pytest

from minidl import Tensor, optim
from minidl.autograd.variable import Variable
from minidl.kernels import use_kernels


class ndarray:
    """Behaves as a CuPy array where it matters: NumPy functions cannot use it, and only its own module makes them."""

    __module__ = "cupy"
    __array_priority__ = 100

    def __init__(self, host):
        self.host = np.asarray(host)

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"numpy.{function.__name__} on an array of the device")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        raise TypeError(f"numpy.{ufunc.__name__} on an array of the device")

    dtype = property(lambda self: self.host.dtype)
    shape = property(lambda self: self.host.shape)
    ndim = property(lambda self: self.host.ndim)
    size = property(lambda self: self.host.size)
    device = types.SimpleNamespace(id=0)

    def get(self):
        return self.host.copy()

    def copy(self):
        return ndarray(self.host.copy())

    def astype(self, dtype):
        return ndarray(self.host.astype(dtype))

    def __setitem__(self, index, value):
        self.host[index] = _host(value)


def _host(x):
    if isinstance(x, np.ndarray):
        raise TypeError("a host array meets one of the device")
    return x.host if isinstance(x, ndarray) else x


def _operator(name):
    function = getattr(operator, name)

    def compute(self, *others):
        result = function(self.host, *map(_host, others))
        if name.startswith("__i"):
            assert result is self.host
            return self
        return ndarray(result)

    return compute


for _name in ["add", "sub", "mul", "truediv", "neg", "iadd", "isub", "imul", "itruediv"]:
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
ndarray.__radd__ = ndarray.__add__
ndarray.__rmul__ = ndarray.__mul__
ndarray.__rsub__ = lambda self, other: ndarray(other - self.host)


@pytest.fixture
def device(monkeypatch):
    cupy = types.ModuleType("cupy")
    cupy.zeros = lambda shape, dtype: ndarray(np.zeros(shape, dtype))
    cupy.zeros_like = lambda x: ndarray(np.zeros_like(x.host))
    cupy.array = lambda x, dtype, order: ndarray(np.array(x, dtype, order=order))
    cupy.sqrt = lambda x: ndarray(np.sqrt(x.host))

    def maximum(a, b, out=None):
        result = np.maximum(a.host, _host(b), out=None if out is None else out.host)
        return ndarray(result) if out is None else out

    cupy.maximum = maximum
    monkeypatch.setitem(sys.modules, "cupy", cupy)


@pytest.mark.parametrize("dtype", ["f2", "f4"])
@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
        (optim.Adam, {"amsgrad": True, "weight_decay": 0.1}),
        (optim.AdamW, {}),
        (optim.NAdam, {}),
        (optim.Adagrad, {"initial_accumulator_value": 0.1}),
        (optim.Adadelta, {}),
        (optim.RMSprop, {"centered": True, "momentum": 0.9}),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_arrays_of_a_device_are_updated_as_those_of_the_host(cls, options, dtype, device, rng):
    start = [rng.standard_normal(shape).astype(dtype) for shape in ((3, 2), (4,))]
    here = [Tensor(a.copy(), requires_grad=True) for a in start]
    there = [Variable._wrap(ndarray(a.copy()), requires_grad=True) for a in start]
    one, other = cls(here, **options), cls(there, **options)
    for step in range(4):
        for p, q in zip(here, there, strict=True):
            g = rng.standard_normal(p.shape).astype(dtype)
            p.grad, q.grad = Tensor(g), Variable._wrap(ndarray(g))
        with use_kernels("numpy"):  # the stand-in is none of CuPy's arrays, and compiled kernels round otherwise
            one.step()
            other.step()
        if step == 1:  # and a saved state finds its way back to the device
            state, other = other.state_dict(), cls(there)
            other.load_state_dict(state)
            assert all(isinstance(v, ndarray) for s in other.state.values() for v in s.values() if hasattr(v, "shape"))
    for p, q in zip(here, there, strict=True):
        assert p.array.tobytes() == q.array.host.tobytes()
    other.zero_grad(set_to_none=False)
    assert not there[0].grad.array.host.any()
