"""T5: memory that changes between forward and backward is noticed, and nothing is changed behind the tape's back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl.autograd import no_grad

CHANGED = "was changed in place"


def leaf(*values: float) -> Any:
    return dl.tensor(list(values), dtype=dl.float64, requires_grad=True)


def _setitem(x: Any, index: Any, value: Any) -> None:
    x[index] = value


WRITES: dict[str, Callable[[Any], Any]] = {
    "copy_": lambda x: x.copy_(dl.zeros(2)),
    "fill_": lambda x: x.fill_(3),
    "zero_": lambda x: x.zero_(),
    "add_": lambda x: x.add_(1),
    "sub_": lambda x: x.sub_(1, alpha=2),
    "mul_": lambda x: x.mul_(2),
    "div_": lambda x: x.div_(2),
    "clamp_": lambda x: x.clamp_(0, 1),
    "normal_": lambda x: x.normal_(generator=dl.Generator(0)),
    "uniform_": lambda x: x.uniform_(generator=dl.Generator(0)),
    "x[0] = 1": lambda x: _setitem(x, 0, 1.0),
    "x[mask] = 1": lambda x: _setitem(x, x.detach() > 0, 1.0),
    "x += 1": lambda x: x.__iadd__(1),
    "x -= 1": lambda x: x.__isub__(1),
    "x *= 2": lambda x: x.__imul__(2),
    "x /= 2": lambda x: x.__itruediv__(2),
    "x.data = …": lambda x: setattr(x, "data", dl.zeros(2, dtype=dl.float64)),
    "x.data.fill_": lambda x: x.data.fill_(2),
    "through a view": lambda x: x.detach().reshape(1, 2)[0, 1:].fill_(9),
    "through a transpose": lambda x: x.reshape(2, 1).T.detach().fill_(9),
    "through Tensor(x)": lambda x: dl.Tensor(x).fill_(9),
}


@pytest.mark.parametrize("write", WRITES)
def test_writing_a_saved_input_is_noticed(write: str) -> None:
    x = leaf(1.0, 2.0)
    y = x * x
    with no_grad():
        WRITES[write](x)
    with pytest.raises(RuntimeError, match=CHANGED):
        y.sum().backward()
    assert x.grad is None


@pytest.mark.parametrize("write", WRITES)
def test_writing_what_nobody_saved_is_allowed(write: str) -> None:
    x = leaf(1.0, 2.0)
    y = x + x
    with no_grad():
        WRITES[write](x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.array, [2, 2])


def test_writing_the_base_reaches_what_a_view_saved() -> None:
    x = dl.tensor(np.arange(6.0), requires_grad=True)
    y = (x.reshape(2, 3)[1] * x[:3]).sum()
    with no_grad():
        x[4] = 7.0
    with pytest.raises(RuntimeError, match=CHANGED):
        y.backward()


def test_writing_a_saved_output_is_noticed() -> None:
    x = leaf(1.0, 2.0)
    y = x.exp()
    y.detach().fill_(0)
    with pytest.raises(RuntimeError, match=r"Exp: the output, a float64 tensor of shape .2,., was changed in place 1×"):
        y.sum().backward()


def test_a_copy_has_a_version_of_its_own() -> None:
    x = leaf(1.0, 2.0)
    copies = [x.clone(), x.detach().clone(), dl.tensor(x), x.reshape(2, 1).reshape(-1).clone()]
    y = x * x
    with no_grad():
        for c in copies:
            c.detach().fill_(0)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.array, [2, 4])


def test_a_reshape_that_had_to_copy_does_not_raise_a_false_alarm() -> None:
    x = dl.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    y = (x * x).sum()
    with no_grad():
        flat = x.T.reshape(-1)
        assert not np.shares_memory(flat.array, x.array)
        flat.fill_(0)
    y.backward()
    np.testing.assert_array_equal(x.grad.array, 2 * x.array)


def test_einsum_of_one_operand_does_not_hand_out_its_memory() -> None:
    """NumPy's einsum may return a view: writing into it would change the input unnoticed."""
    x = dl.tensor(np.arange(6.0).reshape(2, 3))
    y = dl.ops.einsum("ij->ji", x)
    y.fill_(0)
    np.testing.assert_array_equal(x.array.ravel(), np.arange(6.0))


def test_a_value_on_the_tape_cannot_be_written() -> None:
    x = leaf(1.0, 2.0)
    for what, change in (("fill_", lambda v: v.fill_(0)), (r"x\[\.\.\.\] = value", lambda v: _setitem(v, 0, 1.0))):
        with pytest.raises(RuntimeError, match=f"{what}: a leaf that requires grad cannot be changed in place"):
            change(x)
        with pytest.raises(RuntimeError, match=f"{what}: a value on the tape cannot be changed in place"):
            change(x * 2)
        with no_grad(), pytest.raises(RuntimeError, match="a value on the tape"):
            change(_on_the_tape(x))


def _on_the_tape(x: Any) -> Any:
    with dl.enable_grad():
        return x * 2


def test_augmented_assignment_on_the_tape_makes_a_new_value() -> None:
    x = leaf(1.0, 2.0)
    y = kept = x * 2
    y += 1
    y *= x
    np.testing.assert_array_equal(kept.array, [2, 4])
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.array, 4 * x.array + 1)
    with pytest.raises(RuntimeError, match="a leaf that requires grad"):
        x += 1
    with no_grad():
        x += 1
    np.testing.assert_array_equal(x.array, [2, 3])
    assert x.is_leaf
    assert x.requires_grad


@pytest.mark.parametrize(
    "write",
    [
        lambda x, w: x.copy_(w),
        lambda x, w: x.add_(w),
        lambda x, w: x.sub_(w),
        lambda x, w: x.mul_(w),
        lambda x, w: x.div_(w),
        lambda x, w: _setitem(x, 0, w[0]),
        lambda x, w: _setitem(x, slice(None), w * 2),
    ],
)
def test_a_gradient_is_not_lost_by_writing_in_place(write: Any) -> None:
    """T23: nothing in place is on the tape, so writing a value that wants a gradient must be refused."""
    x, w = dl.ones(2, dtype=dl.float64), leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="requires a gradient, which writing in place would lose"):
        write(x, w)
    np.testing.assert_array_equal(x.array, [1, 1])
    write(x, w.detach())
    with no_grad():
        write(x, w)
    assert not x.requires_grad


def test_read_only_memory_is_refused_with_a_sentence() -> None:
    x = dl.zeros(1, 2).expand(3, 2)
    with pytest.raises(RuntimeError, match="read-only view"):
        x.fill_(1)
    with pytest.raises(RuntimeError, match="read-only view"):
        x[0] = 1


def test_writing_rounds_to_the_tensor_s_dtype_but_never_to_integers() -> None:
    x = dl.zeros(2)
    x += dl.tensor(np.array([0.1, 0.2]))
    assert x.dtype == dl.float32
    n = dl.tensor([1, 2])
    with pytest.raises(TypeError):
        n += 0.5
    np.testing.assert_array_equal(n.array, [1, 2])
