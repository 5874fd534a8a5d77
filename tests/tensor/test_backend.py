"""Devices, dtypes and generators: the ground floor."""

from __future__ import annotations

import numpy as np
import pytest

import minidl as dl
from minidl.backend import (
    Device,
    Generator,
    array_module,
    cuda_is_available,
    device_of,
    module_for,
    promote_types,
    result_type,
    set_default_dtype,
    to_device,
)


def test_devices_compare_hash_and_print() -> None:
    assert str(Device("cpu")) == "cpu"
    assert str(Device("cuda")) == "cuda:0"
    assert Device("cuda:1").index == 1
    assert Device("cpu") == "cpu"
    assert Device("cuda") == "cuda:0"
    assert Device("cuda:1") != "cuda"
    assert Device(Device("cuda:2")) == Device("cuda:2")
    assert len({Device("cpu"), Device("cpu"), Device("cuda"), Device("cuda:0")}) == 2
    assert repr(Device("cuda")) == "device(type='cuda:0')"
    assert Device("cpu") != 3


@pytest.mark.parametrize("name", ["gpu", "", "cpu:0", "cuda:x", "cuda:-1", "mps"])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected 'cpu', 'cuda' or 'cuda:N'"):
        Device(name)


def test_arrays_of_the_host_belong_to_numpy() -> None:
    x = np.ones(2)
    assert array_module(x) is np
    assert array_module(np.float32(1)) is np
    assert array_module([1, 2]) is np
    assert device_of(x) == "cpu"
    assert module_for("cpu") is np
    assert to_device(x, "cpu") is x


@pytest.mark.skipif(cuda_is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_a_sentence() -> None:
    with pytest.raises(RuntimeError, match=r"device cuda:0: no usable GPU; .*\(pip install"):
        dl.tensor([1.0], device="cuda")
    with pytest.raises(RuntimeError, match="no usable GPU"):
        dl.tensor([1.0]).cuda()


def test_the_default_dtype_must_be_floating() -> None:
    with pytest.raises(TypeError, match="expected a floating dtype, got int64"):
        set_default_dtype(np.int64)


def test_promotion_is_commutative_and_idempotent() -> None:
    dtypes = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex64"]
    for a in dtypes:
        assert promote_types(a, a) == np.dtype(a)
        for b in dtypes:
            assert promote_types(a, b) == promote_types(b, a)
            for c in dtypes:
                left, right = promote_types(promote_types(a, b), c), promote_types(a, promote_types(b, c))
                assert left == right or "uint8" in (a, b, c), (a, b, c)


def test_result_type_reads_the_default_dtype() -> None:
    assert result_type(np.ones(2, "i4"), 1.0) == np.float32
    assert result_type(1, 2) == np.int64
    assert result_type(True, 2.0) == np.float32
    with pytest.raises(AssertionError, match="at least one operand"):
        result_type()


def test_generators_are_independent_and_say_their_seed() -> None:
    a, b = Generator(1), Generator(1)
    a.numpy.random(5)
    assert b.numpy.random() == Generator(1).numpy.random()
    assert a.initial_seed() == 1
    assert Generator().initial_seed() != Generator().initial_seed()
    assert a.manual_seed(9) is a
    for bad in (-1, 1.5, "x", None):
        with pytest.raises(ValueError, match="expected an integer ≥ 0"):
            a.manual_seed(bad)


def test_a_state_is_plain_data() -> None:
    """T26: it must fit into a json file and come back the same."""
    import json

    g = Generator(5)
    g.numpy.random(3)
    state = json.loads(json.dumps(g.get_state()))
    h = Generator(0)
    h.set_state(state)
    assert h.numpy.random() == g.numpy.random()
    assert h.initial_seed() == 5
