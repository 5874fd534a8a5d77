"""Every optimizer does PyTorch's arithmetic, with every option, over 25 steps (T40)."""

from __future__ import annotations

import numpy as np
import pytest

from minidl import Tensor, optim

pytestmark = pytest.mark.oracle
torch = pytest.importorskip("torch")

CASES = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.5, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.02}),
    ("Adam", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.02, "amsgrad": True, "betas": (0.9, 0.5)}),
    ("Adam", {"lr": 0.02, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.02, "betas": (0.0, 0.999)}),
    ("AdamW", {"lr": 0.02}),
    ("AdamW", {"lr": 0.02, "weight_decay": 0.3, "amsgrad": True, "betas": (0.9, 0.5)}),
    ("AdamW", {"lr": 0.02, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.02, "weight_decay": 0.1, "momentum_decay": 0.1}),
    ("NAdam", {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.3, "eps": 1e-3}),
    ("Adagrad", {"lr": 0.1, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.7, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.01, "alpha": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01, "centered": True}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True, "maximize": True, "weight_decay": 0.1}),
]
SHAPES = [(3, 4), (5,), (), (2, 1, 3)]


def drawn(seed: int, dtype: str, steps: int = 25) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """Starting values, and gradients of very different sizes for every step."""
    rng = np.random.default_rng(seed)
    values = [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]
    scale = 10.0 ** rng.integers(-3, 2, size=len(SHAPES))
    gradients = [
        [np.asarray(rng.standard_normal(shape) * s, dtype) for shape, s in zip(SHAPES, scale, strict=True)]
        for _ in range(steps)
    ]
    return values, gradients


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 2e-5)])
@pytest.mark.parametrize(("name", "options"), CASES, ids=[f"{n}-{'-'.join(o) or 'default'}" for n, o in CASES])
def test_T40_25_steps_equal_pytorch(name, options, dtype, rtol):
    rtol = 1e-7 if (name, dtype) == ("NAdam", "float64") else rtol  # PyTorch multiplies its μ in float32
    values, gradients = drawn(7, dtype)
    ours = [Tensor(v.copy(), requires_grad=True) for v in values]
    theirs = [torch.tensor(v, requires_grad=True) for v in values]
    mine, other = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for step, gs in enumerate(gradients):
        for i, (p, q, g) in enumerate(zip(ours, theirs, gs, strict=True)):
            missing = step % 3 == 1 and i == 2  # T39: PyTorch, too, counts no step for it
            p.grad, q.grad = (None, None) if missing else (Tensor(g.copy()), torch.tensor(g))
        mine.step()
        other.step()
        for p, q in zip(ours, theirs, strict=True):
            assert p.dtype == np.dtype(dtype)
            np.testing.assert_allclose(p.array, q.detach().numpy(), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "NAdam", "Adagrad", "Adadelta", "RMSprop"])
def test_arguments_and_defaults_are_pytorchs(name):
    ours = getattr(optim, name)([Tensor(np.ones(2), requires_grad=True)])
    theirs = getattr(torch.optim, name)([torch.ones(2, requires_grad=True)])
    for option, value in ours.defaults.items():
        assert theirs.defaults[option] == value, option
    left_out = set(theirs.defaults) - set(ours.defaults)
    assert left_out <= {"foreach", "differentiable", "fused", "capturable", "decoupled_weight_decay"}


@pytest.mark.parametrize(("name", "options"), CASES, ids=[f"{n}-{'-'.join(o) or 'default'}" for n, o in CASES])
def test_a_state_saved_by_pytorch_is_continued(name, options):
    values, gradients = drawn(3, "float64", steps=8)
    theirs = [torch.tensor(v, requires_grad=True) for v in values]
    other = getattr(torch.optim, name)(theirs, **options)

    def advance(optimizer, parameters, wrap, steps):
        for gs in steps:
            for p, g in zip(parameters, gs, strict=True):
                p.grad = wrap(g.copy())
            optimizer.step()

    advance(other, theirs, torch.tensor, gradients[:4])
    ours = [Tensor(q.detach().numpy().copy(), requires_grad=True) for q in theirs]
    mine = getattr(optim, name)(ours)
    mine.load_state_dict(other.state_dict())
    advance(other, theirs, torch.tensor, gradients[4:])
    advance(mine, ours, Tensor, gradients[4:])
    for p, q in zip(ours, theirs, strict=True):
        rtol = 1e-7 if name == "NAdam" else 1e-12
        np.testing.assert_allclose(p.array, q.detach().numpy(), rtol=rtol, atol=rtol)
