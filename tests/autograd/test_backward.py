"""What `backward` and `grad` do, add, return, keep and refuse."""

from __future__ import annotations

import copy
import itertools
import pickle
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl.autograd import Function, Variable, backward, detect_anomaly, grad, no_grad


def leaf(*values: float) -> Any:
    return dl.tensor(list(values) if len(values) > 1 else values[0], dtype=dl.float64, requires_grad=True)


# ── once, twice, again ────────────────────────────────────────────────────────────────────────────


def test_a_second_walk_over_a_kept_graph_adds_exactly_the_same_again() -> None:
    """T3: intermediate gradients start from nothing each time: 12, then 24, not 36."""
    x = leaf(2.0)
    y = x * x
    z = y * 3
    z.backward(retain_graph=True)
    assert x.grad.item() == 12
    z.backward()
    assert x.grad.item() == 24


def test_a_second_walk_over_a_used_graph_says_what_to_do() -> None:
    x = leaf(2.0)
    y = (x * x).sin()
    y.backward()
    before = x.grad.item()
    with pytest.raises(RuntimeError, match=r"at Sin was already walked .* retain_graph=True"):
        y.backward()
    assert x.grad.item() == before, "a refused walk must not add anything"


def test_a_used_part_of_a_graph_refuses_too() -> None:
    x = leaf(2.0)
    y = x * x
    (y + 1).backward()
    with pytest.raises(RuntimeError, match="at Mul was already walked"):
        (y * 2).backward()


def test_gradients_are_added_to_those_of_an_earlier_computation() -> None:
    x = leaf(1.0, 2.0)
    (x * 3).sum().backward()
    first = x.grad
    (x * x).sum().backward()
    assert x.grad is first, "the gradient is added to in place"
    np.testing.assert_array_equal(x.grad.array, [5, 7])


def test_several_outputs_are_differentiated_as_their_sum() -> None:
    x = leaf(1.0, 2.0)
    y, z = x * 3, x * x
    backward([y, z, z], [dl.tensor([1.0, 10.0]), np.array([2.0, 0.0]), np.array([0.0, 1.0])])
    np.testing.assert_array_equal(x.grad.array, [3 + 4, 30 + 4])


def test_an_output_may_be_a_leaf_and_its_own_input() -> None:
    x = leaf(1.0, 2.0)
    gy = dl.tensor([3.0, 4.0], dtype=dl.float64)
    x.backward(gy)
    np.testing.assert_array_equal(x.grad.array, [3, 4])
    assert not np.shares_memory(x.grad.array, gy.array)
    (g,) = grad(x, x, gy)
    np.testing.assert_array_equal(g.array, [3, 4])


# ── T1: whose memory ──────────────────────────────────────────────────────────────────────────────


def _residual(a: Any, b: Any, c: Any) -> Any:
    return ((a + b) * 1.0 + c.reshape(2, 2).T.reshape(4) + a).sum()


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    "compute",
    [
        lambda a, b, c: (a + b + c).sum(),
        lambda a, b, c: (a - b) @ c,
        lambda a, b, c: (a + b) @ (b + c),
        lambda a, b, c: dl.ops.cat([a, b, c]).sum(),
        lambda a, b, c: dl.ops.where(a > 0, a + b, c).sum(),
        lambda a, b, c: dl.ops.stack([a, a + b, c]).sum(),
        _residual,
    ],
)
def test_no_two_leaves_share_a_gradient(compute: Any, create_graph: bool) -> None:
    """T1: weight decay or clipping in place on one gradient must not reach another (a clipped norm of 0.508 for 1)."""
    leaves = [dl.tensor(np.arange(4.0) + i, requires_grad=True) for i in range(3)]
    compute(*leaves).backward(create_graph=create_graph)
    for x, y in itertools.combinations(leaves, 2):
        assert x.grad is not y.grad
        assert not np.shares_memory(x.grad.array, y.grad.array)
    for x in leaves:
        assert x.grad.array.flags.writeable, "T6"
        assert x.grad.array.base is None, "T6: a gradient owns its memory"
        x.grad = None


def test_accumulating_into_one_leaf_leaves_the_other_alone() -> None:
    """T1: after create_graph the two gradients of a sum were one tensor, and the next backward added to both."""
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).sum().backward(create_graph=True)
    (a * 10).sum().backward()
    np.testing.assert_array_equal(a.grad.array, [11, 11])
    np.testing.assert_array_equal(b.grad.array, [1, 1])


def test_a_gradient_given_by_the_caller_is_never_written() -> None:
    x, gy = leaf(1.0, 2.0), dl.ones(2, dtype=dl.float64)
    for _ in range(3):
        (x + 0).backward(gy)
    np.testing.assert_array_equal(gy.array, [1, 1])
    np.testing.assert_array_equal(x.grad.array, [3, 3])


def test_a_leaf_used_many_times_sums_without_writing_what_others_hold() -> None:
    x = leaf(1.0, 2.0)
    parts = [x + i for i in range(5)]
    for y in parts:
        y.retain_grad()
    dl.ops.stack(parts).sum().backward()
    np.testing.assert_array_equal(x.grad.array, [5, 5])
    for y in parts:
        np.testing.assert_array_equal(y.grad.array, [1, 1])


# ── what may be asked ─────────────────────────────────────────────────────────────────────────────


def test_a_vector_is_not_silently_summed() -> None:
    """T35: only a single number can do without a gradient of its own."""
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"shape \(2,\).*\.sum\(\) or \.mean\(\)"):
        (x * 2).backward()
    (x * 2)[:1].backward()
    np.testing.assert_array_equal(x.grad.array, [2, 0])


def test_a_gradient_must_have_the_output_s_shape() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"shape \(2,\), but its gradient has \(1,\)"):
        (x * 2).backward(dl.ones(1))


def test_a_gradient_of_another_dtype_is_converted() -> None:
    """T8: a float64 gradient for a float32 output does not make the whole walk float64."""
    x = dl.tensor([1.0, 2.0], requires_grad=True)
    (x * x).backward(dl.tensor(np.array([1.0, 0.5])))
    assert x.grad.dtype == dl.float32
    (g,) = grad(x * x, x, np.array([1.0, 0.5]))
    assert g.dtype == dl.float32


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool"])
def test_integers_have_no_gradients(dtype: str) -> None:
    """T36: an integer gradient would be truncated."""
    with pytest.raises(RuntimeError, match=f"only floating tensors have gradients, this one is {dtype}"):
        dl.tensor(np.ones(2, dtype), requires_grad=True)
    with pytest.raises(RuntimeError, match="only floating tensors"):
        dl.tensor(np.ones(2, dtype)).requires_grad_()


def test_conversion_to_integers_leaves_the_tape() -> None:
    """T36: as in PyTorch, `x.long()` requires no gradient, and comparing does not either."""
    x = leaf(1.5, 2.5)
    for y in (x.long(), x.int(), x.bool(), x > 2, x.argmax(), x.max(0).indices):
        assert not y.requires_grad
        assert y.creator is None
    assert x.max(0).values.requires_grad


def test_nothing_to_differentiate_is_an_error() -> None:
    x = leaf(1.0)
    with pytest.raises(RuntimeError, match="does not depend on anything that requires a gradient"):
        dl.tensor(1.0).backward()
    with no_grad():
        y = x * 2
    with pytest.raises(RuntimeError, match="outside no_grad"):
        y.backward()
    with pytest.raises(RuntimeError, match="input 0 requires no gradient"):
        grad(x * 2, dl.tensor(1.0))


def test_unused_inputs() -> None:
    x, y = leaf(1.0, np.inf), leaf(3.0, 4.0)
    out = (y * y).sum()
    with pytest.raises(RuntimeError, match="do not depend on input 0"):
        grad(out, [x, y], retain_graph=True)
    gx, gy = grad(out, [x, y], retain_graph=True, allow_unused=True)
    assert gx is None
    np.testing.assert_array_equal(gy.array, [6, 8])
    gx, gy = grad(out, [x, y], materialize_grads=True)
    np.testing.assert_array_equal(gx.array, [0, 0])
    assert gx.dtype == x.dtype
    scalar = leaf(2.0)
    (g,) = grad(leaf(1.0) * 2, scalar, materialize_grads=True)
    assert type(g.array) is np.ndarray


def test_grad_touches_no_leaf() -> None:
    x, y = leaf(1.0), leaf(2.0)
    grad(x * y, x)
    assert x.grad is None
    assert y.grad is None


def test_grad_with_respect_to_values_in_the_middle() -> None:
    x = leaf(2.0)
    y = x * x
    z = y * y
    w = z * y
    gx, gy, gz, gw = grad(w, [x, y, z, w], retain_graph=True)
    assert [g.item() for g in (gx, gy, gz, gw)] == [3 * 16 * 4, 3 * 16, 4, 1]
    (only,) = grad(w, z, retain_graph=True)
    assert only.item() == 4
    (again,) = grad([w, y], y, [None, dl.tensor(1.0, dtype=dl.float64)])
    assert again.item() == 3 * 16 + 1


def test_grad_follows_only_the_ways_to_what_is_wanted() -> None:
    """T22: a branch that does not lead to a wanted value is not walked at all."""
    walked = []

    class Spy(Function):
        def forward(self, x: Any) -> Any:
            return x.copy()

        def backward(self, gy: Any, needs: Any) -> Any:
            walked.append(self)
            return (gy,)

    x, y = leaf(1.0), leaf(2.0)
    out = Spy()(x * 1) * Spy()(y * 1)
    grad(out, y, retain_graph=True)
    assert len(walked) == 1
    out.backward()
    assert len(walked) == 3


def test_first_gradients_of_a_gradient() -> None:
    x = leaf(0.5)
    y = (x * x * x).sin()
    value, derivatives = y, []
    for _ in range(4):
        (value,) = grad(value, x, create_graph=True)
        derivatives.append(value.item())
    h = 0.5
    s, c = np.sin(h**3), np.cos(h**3)
    assert derivatives[0] == pytest.approx(3 * h**2 * c, rel=1e-13)
    assert derivatives[1] == pytest.approx(6 * h * c - 9 * h**4 * s, rel=1e-13)
    assert derivatives[2] == pytest.approx(6 * c - 54 * h**3 * s - 27 * h**6 * c, rel=1e-12)
    assert derivatives[3] == pytest.approx(-180 * h**2 * s - 324 * h**5 * c + 81 * h**8 * s, rel=1e-11)


def test_backward_with_create_graph_stores_gradients_that_can_be_differentiated() -> None:
    x = leaf(3.0)
    (x**3).backward(create_graph=True)
    first, x.grad = x.grad, None
    first.backward()
    assert first.item() == 27
    assert x.grad.item() == 18


# ── hooks ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_hook_sees_the_complete_gradient_once_and_may_replace_it() -> None:
    x = leaf(1.0, 2.0)
    seen: list[np.ndarray] = []
    handle = x.register_hook(lambda g: seen.append(g.array.copy()))
    double = x.register_hook(lambda g: g * 2)
    (x * 3 + x * x).sum().backward()
    np.testing.assert_array_equal(seen, [[5, 7]])
    np.testing.assert_array_equal(x.grad.array, [10, 14])
    handle.remove()
    handle.remove()
    double.remove()
    (x * 3).sum().backward()
    assert len(seen) == 1
    np.testing.assert_array_equal(x.grad.array, [13, 17])


def test_a_hook_in_the_middle_changes_what_flows_on() -> None:
    x = leaf(2.0)
    y = x * x
    y.register_hook(lambda g: g * 100)
    (y * 3 + y).backward()
    assert x.grad.item() == 4 * 100 * 4


def test_a_hook_may_remove_itself() -> None:
    x = leaf(2.0)
    calls = []
    handles = []
    for name in "abc":
        handles.append(x.register_hook(lambda g, name=name: (calls.append(name), handles[0].remove())[0]))
    (x * 1).backward()
    assert calls == ["a", "b", "c"]


def test_hooks_run_in_grad_too_and_work_on_recorded_gradients() -> None:
    x = leaf(3.0)
    x.register_hook(lambda g: g * x)
    (g,) = grad(x * x, x, create_graph=True)
    assert g.item() == 18
    (h,) = grad(g, x)
    assert h.item() == 12 * 3, "the hook ran on the second derivative as well"


def test_a_hook_needs_something_that_will_call_it() -> None:
    with pytest.raises(RuntimeError, match="would never be called"):
        dl.tensor(1.0).register_hook(lambda g: None)


def test_a_kept_gradient_belongs_to_the_value_that_kept_it() -> None:
    x = leaf(1.0, 2.0)
    y, z = x * 2, x * 3
    total = y + z
    for v in (y, z, total):
        v.retain_grad()
    total.sum().backward(retain_graph=True)
    for v in (y, z, total):
        np.testing.assert_array_equal(v.grad.array, [1, 1])
    assert not np.shares_memory(y.grad.array, z.grad.array), "T1"
    total.sum().backward()
    np.testing.assert_array_equal(y.grad.array, [2, 2])
    x.retain_grad()  # does nothing on a leaf


# ── nan ───────────────────────────────────────────────────────────────────────────────────────────


def test_detect_anomaly_names_the_operation() -> None:
    x = leaf(0.0, 1.0)
    y = x.sqrt() * leaf(0.0, 1.0)
    with np.errstate(all="ignore"):
        y.sum().backward(retain_graph=True)
        assert np.isnan(x.grad.array[0])
        with detect_anomaly(), pytest.raises(RuntimeError, match="the gradient of Sqrt with respect to input 0"):
            y.sum().backward()
        with detect_anomaly(False):
            (x.sqrt() * leaf(0.0, 1.0)).sum().backward()


# ── one Function, many inputs ─────────────────────────────────────────────────────────────────────


class Sum3(Function):
    """Three inputs; the rule gives one tensor to all of them."""

    def forward(self, a: Any, b: Any, c: Any) -> Any:
        return a + b + c

    def backward(self, gy: Any, needs: Any) -> Any:
        shared = gy * 1
        return tuple([shared if need else None for need in needs])


def test_a_rule_may_return_one_tensor_several_times() -> None:
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    Sum3()(a, b, a).sum().backward()
    np.testing.assert_array_equal(a.grad.array, [2, 2])
    np.testing.assert_array_equal(b.grad.array, [1, 1])
    c, d = leaf(1.0, 2.0), leaf(3.0, 4.0)
    Sum3()(c, d, dl.tensor([0.0, 0.0], dtype=dl.float64)).sum().backward()
    assert not np.shares_memory(c.grad.array, d.grad.array)


class Selfish(Function):
    """A rule that returns its own saved input as the gradient."""

    saves_inputs = (0,)

    def forward(self, x: Any) -> Any:
        return (x * x / 2).sum()

    def backward(self, gy: Any, needs: Any) -> Any:
        return (self.saved_inputs[0],)


def test_a_rule_that_returns_what_it_saved_does_not_give_it_away() -> None:
    """T1: the gradient of ½x² is x; changing the gradient in place must not change x."""
    x = leaf(1.0, 2.0)
    Selfish()(x).backward()
    assert not np.shares_memory(x.grad.array, x.array)


class NoRule(Function):
    def forward(self, x: Any) -> Any:
        return x + 0


def test_an_operation_without_a_gradient_says_so() -> None:
    """T15: far better than a wrong or missing gradient."""
    with pytest.raises(TypeError, match="NoRule has no gradient"):
        NoRule()(leaf(1.0)).backward()


def test_a_wrong_shape_or_dtype_is_caught_at_the_leaf() -> None:
    class Wrong(Function):
        def forward(self, x: Any) -> Any:
            return x * 1

        def backward(self, gy: Any, needs: Any) -> Any:
            return (gy.sum(),)

    with pytest.raises(RuntimeError, match=r"a leaf of shape \(2,\), float64, received a gradient of shape \(\)"):
        Wrong()(leaf(1.0, 2.0)).sum().backward()


# ── leaves: copying, naming, cutting ──────────────────────────────────────────────────────────────


def test_leaves_can_be_copied_and_pickled() -> None:
    x = leaf(1.0, 2.0)
    x.name = "weight"
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert y.requires_grad
        assert y.is_leaf
        assert y.name == "weight"
        assert y.dtype == x.dtype
        np.testing.assert_array_equal(y.array, x.array)
        assert not np.shares_memory(y.array, x.array)
    with pytest.raises(RuntimeError, match="only leaves can be copied"):
        copy.deepcopy(x * 2)


def test_detach_cuts_and_shares() -> None:
    x = leaf(1.0, 2.0)
    y = (x * 2).detach()
    assert y.is_leaf
    assert not y.requires_grad
    z = x * 2
    z.detach_()
    assert z.creator is None
    with pytest.raises(RuntimeError, match=r"use \.detach\(\) to cut it off"):
        (x * 2).requires_grad_(False)


def test_every_result_is_a_tensor() -> None:
    x = leaf(1.0, 2.0)
    for y in (x + 1, 1 + x, x.sum(), x[0], *x, x.max(0).values, x.grad if x.grad is not None else x):
        assert type(y) is dl.Tensor
        assert isinstance(y, Variable)
        assert type(y.array) is np.ndarray, "also a 0-d result is an array (T7)"


def test_a_grad_of_another_shape_is_refused() -> None:
    """Adding in place would broadcast silently."""
    x = leaf(1.0, 2.0)
    x.grad = dl.zeros(3, 2, dtype=dl.float64)
    with pytest.raises(RuntimeError, match=r"shape \(2,\) already has a \.grad of shape \(3, 2\)"):
        (x * 2).sum().backward()


def test_one_object_is_one_operation() -> None:
    """A second call would overwrite where the first came from: the gradient would be silently wrong."""
    from minidl.ops.elementwise import Exp

    x, exp = dl.tensor(1.0, requires_grad=True), Exp()
    exp(x)
    with pytest.raises(RuntimeError, match="make a new one"):
        exp(x)


def test_grad_takes_only_inputs_as_programs_for_pytorch_write_it() -> None:
    """Gradient penalties of published GANs pass it."""
    x = dl.tensor(3.0, requires_grad=True)
    (g,) = dl.autograd.grad(outputs=x * x, inputs=x, create_graph=True, retain_graph=True, only_inputs=True)
    assert g.item() == 6.0
    with pytest.raises(ValueError, match="only_inputs=False is not supported; use backward"):
        dl.autograd.grad(x * x, x, only_inputs=False)
