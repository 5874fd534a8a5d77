"""What all optimizers share: order, groups, missing gradients, packing, versions, the recorder, saved state."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from minidl import Tensor, nn, optim
from minidl.autograd import no_grad, record
from minidl.autograd.recorder import UpdateEvent
from minidl.optim.optimizer import SERIAL
from minidl.optim.packing import SMALL

EVERY = [
    (optim.SGD, {"momentum": 0.9}),
    (optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    (optim.Adam, {"amsgrad": True}),
    (optim.AdamW, {}),
    (optim.NAdam, {}),
    (optim.Adagrad, {"initial_accumulator_value": 0.1}),
    (optim.Adadelta, {}),
    (optim.RMSprop, {"centered": True, "momentum": 0.5}),
]
every = pytest.mark.parametrize(("cls", "options"), EVERY, ids=lambda v: getattr(v, "__name__", ""))
SHAPES = [(3, 4), (), (5,), (2, 2), (0,)]


def parameters(rng, shapes=SHAPES, dtype="f4"):
    return [Tensor(np.asarray(rng.standard_normal(s), dtype), requires_grad=True) for s in shapes]


def give_gradients(ps, rng):
    for p in ps:
        p.grad = Tensor(np.asarray(rng.standard_normal(p.shape), p.dtype))


def bits(ps):
    return [p.array.tobytes() for p in ps]


# ── stepping ──────────────────────────────────────────────────────────────────────────────────────


@every
def test_T39_parameters_without_gradient_keep_value_and_state(cls, options, rng):
    ps = parameters(rng)
    optimizer = cls(ps, lr=0.1, **options)
    for step in range(4):
        give_gradients(ps, rng)
        ps[2].grad = None
        if step % 2:
            ps[0].grad = None
        before = bits(ps)
        optimizer.step()
        assert bits(ps)[2] == before[2]
        assert (bits(ps)[0] == before[0]) == bool(step % 2)
    assert optimizer.state[2] == {}
    assert all(optimizer.state[i].get("step", want) == want for i, want in ((0, 2), (1, 4), (3, 4)))


@every
def test_small_parameters_updated_together_or_one_by_one_are_the_same_bits(cls, options, rng):
    together = parameters(rng)
    alone = copy.deepcopy(together)
    one = cls(together, lr=0.1, **options)
    others = [cls([p], lr=0.1, **options) for p in alone]
    for _ in range(5):
        give_gradients(together, rng)
        for p, q in zip(together, alone, strict=True):
            q.grad = Tensor(p.grad.array.copy())
        one.step()
        for other in others:
            other.step()
        assert bits(together) == bits(alone)
    assert one._packs[0].members


def test_T1_parameters_that_share_memory_are_updated_one_after_the_other():
    memory = np.zeros(4, "f4")
    a, b, c = (Tensor(memory[s], requires_grad=True) for s in (slice(0, 3), slice(2, 4), slice(3, 4)))
    optimizer = optim.SGD([a, b, c], lr=1.0)
    for p in (a, b, c):
        p.grad = Tensor(np.ones(p.shape, "f4"))
    optimizer.step()
    assert memory.tolist() == [-1, -1, -2, -2]


@every
def test_large_parameters_updated_in_blocks_are_the_same_bits(cls, options, rng):
    flat = Tensor(rng.standard_normal(2 * SERIAL + 77).astype("f4"), requires_grad=True)
    pieces = [Tensor(flat.array[i : i + 9001].copy(), requires_grad=True) for i in range(0, flat.numel(), 9001)]
    strided = Tensor(np.repeat(flat.array, 2)[::2], requires_grad=True)
    assert not strided.array.flags.c_contiguous
    optimizers = [cls(ps, lr=0.1, **options) for ps in ([flat], pieces, [strided])]
    for _ in range(3):
        g = rng.standard_normal(flat.numel()).astype("f4")
        flat.grad, strided.grad = Tensor(g), Tensor(np.repeat(g, 3)[::3])
        for i, p in enumerate(pieces):
            p.grad = Tensor(g[i * 9001 : (i + 1) * 9001])
        for optimizer in optimizers:
            optimizer.step()
    assert np.array_equal(np.concatenate([p.array for p in pieces]), flat.array)
    assert np.array_equal(strided.array, flat.array)


@every
def test_T6_gradients_are_never_written_to(cls, options, rng):
    ps = parameters(rng, [(3,), (2 * SERIAL,)])
    optimizer = cls(ps, **options)
    for _ in range(2):
        give_gradients(ps, rng)
        for p in ps:
            p.grad.array.flags.writeable = False
        optimizer.step()


@every
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_T8_dtypes_are_kept(cls, options, dtype, rng):
    ps = parameters(rng, dtype=dtype)
    optimizer = cls(ps, **options)
    for _ in range(2):
        give_gradients(ps, rng)
        optimizer.step()
    wide = np.promote_types(dtype, "f4")
    assert {p.dtype for p in ps} == {np.dtype(dtype)}
    assert {v.dtype for s in optimizer.state.values() for v in s.values() if isinstance(v, np.ndarray)} == {wide}


def test_T5_a_step_between_forward_and_backward_is_noticed(rng):
    w = Tensor(np.ones(3, "f4"), requires_grad=True)
    y = (w * w * 2).sum()
    w.grad = Tensor(np.ones(3, "f4"))
    version = w.version
    optim.SGD([w], lr=0.1).step()
    assert w.version == version + 1
    with pytest.raises(RuntimeError):
        y.backward()


def test_T5_every_parameter_updated_together_counts_as_written(rng):
    ps = parameters(rng)
    optimizer = optim.Adam(ps)
    for step in range(1, 4):
        give_gradients(ps, rng)
        optimizer.step()
        assert [p.version for p in ps] == [step] * len(ps)


def test_a_closure_is_run_with_gradients_and_its_loss_returned():
    w = Tensor(np.array([2.0]), requires_grad=True)
    optimizer = optim.SGD([w], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with no_grad():
        assert optimizer.step(closure).item() == 4
    assert w.item() == 1


def test_zero_grad_forgets_or_zeroes(rng):
    ps = parameters(rng)
    optimizer = optim.SGD(ps)
    give_gradients(ps[:2], rng)
    optimizer.zero_grad(set_to_none=False)
    assert [p.grad is None for p in ps] == [False, False, True, True, True]
    assert not ps[0].grad.array.any()
    optimizer.zero_grad()
    assert all(p.grad is None for p in ps)


@every
def test_the_recorder_hears_before_gradient_and_after_and_changes_nothing(cls, options, rng):
    ps = parameters(rng)
    heard_ps = copy.deepcopy(ps)
    silent, heard = cls(ps, **options), cls(heard_ps, **options)
    for step in range(4):
        give_gradients(ps, rng)
        for p, q in zip(ps, heard_ps, strict=True):
            q.grad = Tensor(p.grad.array)
        silent.step()
        if step == 2:
            before = bits(heard_ps)
            with record() as recorder:
                heard.step()
            events = [e for e in recorder.events if isinstance(e, UpdateEvent)]
            assert [e.parameter for e in events] == heard_ps
            assert [e.before.tobytes() for e in events] == before
            assert [e.after.tobytes() for e in events] == bits(heard_ps)
            assert {e.rule for e in events} == {cls.__name__}
            assert events[0].source.file == __file__
        else:
            heard.step()
    assert bits(ps) == bits(heard_ps)


# ── parameters and groups ─────────────────────────────────────────────────────────────────────────


def test_groups_have_options_of_their_own(rng):
    a, b, c = parameters(rng, [(2,), (2,), (2,)])
    optimizer = optim.SGD([{"params": [a], "lr": 1.0}, {"params": b}], lr=0.1)
    optimizer.add_param_group({"params": [c], "lr": 0.0})
    before = [p.array.copy() for p in (a, b, c)]
    give_gradients([a, b, c], rng)
    optimizer.step()
    moved = [(old - p.array) / p.grad.array for p, old in zip((a, b, c), before, strict=True)]
    np.testing.assert_allclose(moved, [[1, 1], [0.1, 0.1], [0, 0]], rtol=1e-3)
    assert "1 parameters, lr=1.0" in repr(optimizer)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda a, b: [], "list of parameters is empty"),
        (lambda a, b: a, "single tensor"),
        (lambda a, b: nn.Linear(2, 2), "got a Linear; give its .parameters()"),
        (lambda a, b: {a, b}, "set of parameters has no order"),
        (lambda a, b: [{"params": {a, b}}], "set of parameters has no order"),
        (lambda a, b: [a, a], "parameter 1 appears twice"),
        (lambda a, b: [{"params": [a]}, {"params": [b, a]}], "parameter 1 appears twice"),
        (lambda a, b: [("w", a), ("v", a)], "v appears twice"),
        (lambda a, b: [a * 2], "result of an operation"),
        (lambda a, b: [np.ones(2)], "is a ndarray, expected a tensor"),
        (lambda a, b: [Tensor([1, 2])], "dtype int64"),
        (lambda a, b: [{"params": [a], "learning_rate": 1}], "no option is called 'learning_rate'"),
        (lambda a, b: [{"params": [("w", a)]}, {"params": [b]}], "either all groups name"),
    ],
)
def test_parameters_that_cannot_be_optimised_are_named(make, message, rng):
    a, b = parameters(rng, [(2,), (2,)])
    with pytest.raises((ValueError, TypeError), match=message):
        optim.SGD(make(a, b))


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (optim.SGD, {"lr": -1}, "SGD: lr must be ≥ 0, got -1"),
        (optim.SGD, {"lr": float("nan")}, "lr must be ≥ 0, got nan"),
        (optim.SGD, {"nesterov": True}, "nesterov needs momentum"),
        (optim.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov needs momentum"),
        (optim.Adam, {"betas": (0.9, 1.0)}, r"betas must lie in \[0, 1\)"),
        (optim.Adam, {"eps": -1e-8}, "eps must be ≥ 0"),
        (optim.RMSprop, {"alpha": 1.5}, "alpha must lie between 0 and 1"),
        (optim.Adadelta, {"rho": -0.1}, "rho must lie between 0 and 1"),
        (optim.Adagrad, {"lr_decay": -1}, "lr_decay must be ≥ 0"),
        (optim.NAdam, {"momentum_decay": -1}, "momentum_decay must be ≥ 0"),
    ],
)
def test_options_that_make_no_sense_are_named(cls, options, message, rng):
    with pytest.raises(ValueError, match=message):
        cls(parameters(rng), **options)


def test_a_gradient_of_another_shape_is_refused(rng):
    a, b = parameters(rng, [(2, 3), (2,)])
    optimizer = optim.Adam([a, b])
    give_gradients([a, b], rng)
    optimizer.step()
    a.grad = Tensor(np.ones((3, 2), "f4"))
    with pytest.raises(ValueError, match=r"shape \(2, 3\) has a gradient of shape \(3, 2\)"):
        optimizer.step()


# ── saved state ───────────────────────────────────────────────────────────────────────────────────


@every
def test_a_loaded_state_continues_bit_for_bit(cls, options, rng):
    ps = parameters(rng, [*SHAPES[:4], (SMALL + 1,)])
    optimizer = cls(list(zip("abcde", ps, strict=True)), lr=0.1, **options)
    gradients = [[np.asarray(rng.standard_normal(p.shape), "f4") for p in ps] for _ in range(6)]

    def advance(optimizer, ps, steps):
        for gs in steps:
            for p, g in zip(ps, gs, strict=True):
                p.grad = Tensor(g)
            optimizer.step()

    advance(optimizer, ps, gradients[:3])
    values, before, saved = copy.deepcopy(ps), copy.deepcopy(ps), optimizer.state_dict()
    frozen = pickle.dumps(saved)
    advance(optimizer, ps, gradients[3:])
    assert pickle.dumps(saved) == frozen, "the snapshot moved with the optimizer"
    other = cls(list(zip("abcde", values, strict=True)))
    other.load_state_dict(saved)
    advance(other, values, gradients[3:])
    assert bits(values) == bits(ps)
    assert pickle.dumps(other.state_dict()) == pickle.dumps(optimizer.state_dict())
    advance(optimizer, ps, gradients[:1])
    for p, q in zip(ps, before, strict=True):  # and back again, in an optimizer that went on meanwhile
        p.array[...] = q.array
    optimizer.load_state_dict(saved)
    advance(optimizer, ps, gradients[3:])
    assert bits(values) == bits(ps)


@every
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_copied_optimizer_continues_bit_for_bit(cls, options, duplicate, rng):
    ps = parameters(rng)
    optimizer = cls(ps, **options)
    give_gradients(ps, rng)
    optimizer.step()
    copied, others = duplicate((optimizer, ps))
    give_gradients(ps, rng)
    for p, q in zip(ps, others, strict=True):
        q.grad = Tensor(p.grad.array)
    copied.step()
    optimizer.step()
    assert bits(ps) == bits(others)


def stepped(rng, cls=optim.Adam, shapes=((2,), (3,)), names="ab", dtype="f4", **options):
    ps = parameters(rng, shapes, dtype)
    optimizer = cls(list(zip(names, ps, strict=True)), **options)
    give_gradients(ps, rng)
    optimizer.step()
    return optimizer


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda rng: stepped(rng, names="ac"), "parameter 1 is 'b' here, 'c' in the saved state"),
        (lambda rng: stepped(rng, shapes=((2,), (4,))), r"parameter 1 has exp_avg of shape \(4,\)"),
        (lambda rng: stepped(rng, shapes=((2,),), names="a"), r"groups of \[1\] parameters"),
        (
            lambda rng: stepped(rng, dtype="f8"),
            "parameter 0 has exp_avg in float64, expected float32",
        ),
        (lambda rng: stepped(rng, cls=optim.SGD), "lacks the option 'amsgrad'; another rule made it"),
    ],
)
def test_T27_a_state_that_does_not_fit_is_refused_and_changes_nothing(other, message, rng):
    optimizer = stepped(rng)
    before = pickle.dumps(optimizer.state_dict())
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(other(rng).state_dict())
    assert pickle.dumps(optimizer.state_dict()) == before


def test_T27_a_state_with_a_missing_array_is_refused(rng):
    optimizer = stepped(rng)
    saved = optimizer.state_dict()
    del saved["state"][1]["exp_avg_sq"]
    with pytest.raises(ValueError, match=r"parameter 1 holds .* expected .*exp_avg_sq"):
        optimizer.load_state_dict(saved)


def test_T25_state_is_keyed_by_order_whatever_the_hash_seed():
    program = (
        "import numpy as np\nfrom minidl import Tensor, optim\n"
        "ps = {n: Tensor(np.full(i + 1, 1.0, 'f4'), requires_grad=True) for i, n in enumerate('wqeab')}\n"
        "o = optim.Adam(ps.items())\n"
        "for p in ps.values(): p.grad = Tensor(np.ones(p.shape, 'f4'))\n"
        "o.step()\ns = o.state_dict()\n"
        "print([(k, v['exp_avg'].shape) for k, v in s['state'].items()], s['param_groups'])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(5)
    }
    assert len(outputs) == 1
    assert "(0, (1,)), (1, (2,)), (2, (3,)), (3, (4,)), (4, (5,))" in outputs.pop()


def test_every_optimizer_states_its_formula_and_its_source():
    for cls in {cls for cls, _ in EVERY}:
        assert "leftarrow" in cls.formula
        assert "Source:" in cls.__doc__


def test_a_saved_state_that_is_none_is_refused_in_a_sentence(rng):
    optimizer = optim.Adam(parameters(rng, [(2,)]))
    with pytest.raises(ValueError, match="the saved state has no param_groups and no state"):
        optimizer.load_state_dict({})


@pytest.mark.parametrize("size", [10, 5000])  # packed, and one by one
def test_T1_parameters_that_come_to_share_memory_later_are_updated_one_after_the_other(size):
    x, y = (Tensor(np.ones(size, "f4"), requires_grad=True) for _ in "xy")
    optimizer = optim.SGD([x, y], lr=0.1)
    for step in range(2):
        if step == 1:
            y.data = x.data
        x.grad, y.grad = Tensor(np.ones(size, "f4")), Tensor(np.ones(size, "f4"))
        optimizer.step()
    np.testing.assert_allclose(x.detach().numpy(), 0.7, rtol=1e-6)
