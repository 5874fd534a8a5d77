"""Multi-head attention and the transformer's encoder: against PyTorch, and what must hold of any."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

import minidl as dl
from minidl import nn
from minidl.backend import Generator
from minidl.kernels import use_kernels
from minidl.tensor import Tensor


def oracle() -> Any:
    """PyTorch, or a visible skip."""
    return pytest.importorskip("torch")


def twin(ours: nn.Module, theirs: Any) -> None:
    """The same keys, shapes and numbers in both modules (float64)."""
    ours.double()
    theirs.double()
    state = ours.state_dict()
    assert [*state] == [*theirs.state_dict()]
    theirs.load_state_dict({key: oracle().tensor(x.detach().numpy().copy()) for key, x in state.items()})


def perturb(module: nn.Module, seed: int = 0) -> None:
    """Random numbers in every parameter: biases that start as 0 would hide a mistake."""
    rng = np.random.default_rng(seed)
    with dl.no_grad():
        for x in module.parameters():
            x.copy_(dl.tensor(rng.normal(0, 0.4, x.shape), dtype=x.dtype))


def equal_gradients(ours: nn.Module, theirs: Any, tolerance: float = 1e-9) -> None:
    expected = dict(theirs.named_parameters())
    for name, x in ours.named_parameters():
        np.testing.assert_allclose(x.grad.numpy(), expected[name].grad.numpy(), rtol=tolerance, atol=tolerance)


def padding_and_causal(N: int, T: int, S: int, heads: int) -> dict[str, dict[str, np.ndarray]]:
    """Masks as PyTorch's module takes them: True hides. Every query keeps a key, where PyTorch would give nan."""
    rng = np.random.default_rng(1)
    padding = rng.random((N, S)) < 0.4
    padding[:, 0] = False
    hidden = np.triu(np.ones((T, S), bool), 1)
    each = rng.random((N * heads, T, S)) < 0.4
    each[:, :, 0] = False
    return {
        "no mask": {},
        "padding": {"key_padding_mask": padding},
        "bool mask": {"attn_mask": hidden},
        "mask a head": {"attn_mask": each},
        "padding and bool mask": {"key_padding_mask": padding, "attn_mask": hidden},
        "float mask": {"attn_mask": rng.standard_normal((T, S))},
        "float padding": {"key_padding_mask": np.where(padding, -math.inf, 0.5)},
        "float both": {"key_padding_mask": np.where(padding, -math.inf, 0.0), "attn_mask": rng.standard_normal((T, S))},
    }


MASKS = [*padding_and_causal(2, 5, 5, 2)]


# ── MultiheadAttention ────────────────────────────────────────────────────────────────────────────


@pytest.mark.oracle
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("need", ["nothing", "mean", "each"])
def test_self_attention_equals_pytorch(rng: np.random.Generator, mask: str, batch_first: bool, need: str) -> None:
    torch = oracle()
    ours = nn.MultiheadAttention(6, 2, batch_first=batch_first)
    theirs = torch.nn.MultiheadAttention(6, 2, batch_first=batch_first)
    perturb(ours)
    twin(ours, theirs)
    given = padding_and_causal(2, 5, 5, 2)[mask]
    if mask.startswith("float both"):
        given = {k: v.astype("f8") for k, v in given.items()}
    x = rng.standard_normal((2, 5, 6) if batch_first else (5, 2, 6))
    a, t = dl.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    options = {"need_weights": need != "nothing", "average_attn_weights": need != "each"}
    y, w = ours(a, a, a, **{k: dl.tensor(v) for k, v in given.items()}, **options)
    u, v = theirs(t, t, t, **{k: torch.tensor(v) for k, v in given.items()}, **options)
    np.testing.assert_allclose(y.detach().numpy(), u.detach().numpy(), rtol=1e-10, atol=1e-12)
    assert (w is None) == (v is None)
    if w is not None:
        np.testing.assert_allclose(w.detach().numpy(), v.detach().numpy(), rtol=1e-10, atol=1e-12)
    (y * y).sum().backward()
    (u * u).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), t.grad.numpy(), rtol=1e-9, atol=1e-10)
    equal_gradients(ours, theirs)


@pytest.mark.oracle
@pytest.mark.parametrize(
    "sizes", [{}, {"kdim": 3}, {"kdim": 3, "vdim": 5}, {"bias": False}, {"bias": False, "vdim": 5}]
)
@pytest.mark.parametrize("batched", [False, True])
def test_cross_attention_equals_pytorch(rng: np.random.Generator, sizes: dict[str, Any], batched: bool) -> None:
    torch = oracle()
    ours, theirs = nn.MultiheadAttention(6, 3, **sizes), torch.nn.MultiheadAttention(6, 3, **sizes)
    perturb(ours)
    twin(ours, theirs)
    lead = (2,) if batched else ()
    shapes = (4, *lead, 6), (7, *lead, sizes.get("kdim", 6)), (7, *lead, sizes.get("vdim", 6))
    arrays = [rng.standard_normal(shape) for shape in shapes]
    xs = [dl.tensor(x, requires_grad=True) for x in arrays]
    ts = [torch.tensor(x, requires_grad=True) for x in arrays]
    (y, w), (u, v) = ours(*xs), theirs(*ts)
    np.testing.assert_allclose(y.detach().numpy(), u.detach().numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(w.detach().numpy(), v.detach().numpy(), rtol=1e-10, atol=1e-12)
    (y * y).sum().backward()
    (u * u).sum().backward()
    for x, t in zip(xs, ts, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-9, atol=1e-10)
    equal_gradients(ours, theirs)


@pytest.mark.oracle
def test_the_first_weights_are_spread_like_pytorchs() -> None:
    torch = oracle()
    for sizes in ({}, {"kdim": 40}):
        ours = nn.MultiheadAttention(64, 4, generator=Generator(0), **sizes)
        theirs = torch.nn.MultiheadAttention(64, 4, **sizes)
        for (name, x), (other, t) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
            assert name == other
            assert x.shape == tuple(t.shape)
            assert (
                abs(float(x.detach().numpy().std()) - float(t.detach().std())) < 0.05 * float(t.detach().std()) + 1e-9
            )


def test_weights_and_no_weights_give_the_same_tokens(rng: np.random.Generator, kernels: str) -> None:
    """Two ways, with the matrix of weights and by tiles; one meaning, also with a causal mask and padding."""
    layer = nn.MultiheadAttention(6, 2, batch_first=True, generator=Generator(1)).double()
    x = dl.tensor(rng.standard_normal((2, 5, 6)))
    padding = dl.tensor([[False] * 5, [False, False, True, True, True]])
    y, _ = layer(x, x, x, padding, need_weights=False, is_causal=True)
    z, w = layer(x, x, x, padding, is_causal=True)
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-12, atol=1e-14)
    seen = ~np.triu(np.ones((5, 5), bool), 1) & ~padding.numpy()[:, None, :]
    assert not w.detach().numpy()[~seen].any()
    np.testing.assert_allclose(w.detach().numpy().sum(axis=-1), 1)


def test_a_query_that_sees_nothing_is_not_nan(rng: np.random.Generator) -> None:
    """PyTorch gives nan where the weights are asked for; here they are 0 either way (T28)."""
    layer = nn.MultiheadAttention(4, 2, batch_first=True).double()
    perturb(layer)
    x = dl.tensor(rng.standard_normal((1, 3, 4)), requires_grad=True)
    everything = dl.ones(1, 3, dtype=dl.bool)
    for need in (True, False):
        y, w = layer(x, x, x, everything, need_weights=need)
        np.testing.assert_allclose(y.detach().numpy()[0], np.tile(layer.out_proj.bias.detach().numpy(), (3, 1)))
        y.sum().backward()
        assert np.isfinite(x.grad.numpy()).all()
        assert w is None or not w.detach().numpy().any()


def test_dropout_acts_in_training_only_and_comes_from_the_generator(rng: np.random.Generator) -> None:
    x = dl.tensor(rng.standard_normal((2, 5, 6)))
    for need in (True, False):
        drawn = []
        for seed in (1, 1, 2):
            layer = nn.MultiheadAttention(6, 2, 0.5, batch_first=True, generator=Generator(0)).double()
            layer.generator = Generator(seed)
            drawn.append(layer(x, x, x, need_weights=need)[0].detach().numpy())
        np.testing.assert_array_equal(drawn[0], drawn[1])
        assert (drawn[0] != drawn[2]).any()
        layer.eval()
        first, second = (layer(x, x, x, need_weights=need)[0].detach().numpy() for _ in range(2))
        np.testing.assert_array_equal(first, second)


def test_permuted_tokens_give_permuted_outputs_unless_positions_are_added(rng: np.random.Generator) -> None:
    layer = nn.TransformerEncoderLayer(6, 2, 8, 0.0, batch_first=True, generator=Generator(0)).double()
    x, order = dl.tensor(rng.standard_normal((2, 5, 6))), dl.tensor([3, 0, 4, 1, 2])
    y, moved = layer(x).detach().numpy(), layer(x[:, order]).detach().numpy()
    np.testing.assert_allclose(moved, y[:, order.numpy()], rtol=1e-10, atol=1e-12)
    for positions in (nn.SinusoidalPositions(6).double(), nn.LearnedPositions(9, 6, generator=Generator(1)).double()):
        y, moved = layer(positions(x)).detach().numpy(), layer(positions(x[:, order])).detach().numpy()
        assert np.abs(moved - y[:, order.numpy()]).max() > 1e-3


def test_float32_stays_float32(rng: np.random.Generator) -> None:
    layer = nn.TransformerEncoderLayer(6, 2, 8, 0.1, batch_first=True, norm_first=True)
    x = dl.tensor(rng.standard_normal((2, 5, 6)).astype("f4"), requires_grad=True)
    y = nn.SinusoidalPositions(6)(layer(x, src_key_padding_mask=dl.zeros(2, 5, dtype=dl.bool)))
    y.sum().backward()
    assert {y.dtype, x.grad.dtype, *[p.grad.dtype for p in layer.parameters()]} == {dl.float32}


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: nn.MultiheadAttention(6, 4), ValueError, "num_heads=4 must divide embed_dim=6"),
        (lambda: nn.MultiheadAttention(6, 2, 1.5), ValueError, "got 1.5"),
        (lambda: nn.MultiheadAttention(6, 2)(*[dl.zeros(3, 2, 5)] * 3), RuntimeError, "E=6"),
        (
            lambda: nn.MultiheadAttention(6, 2)(dl.zeros(3, 2, 6), dl.zeros(3, 4, 6), dl.zeros(3, 4, 6)),
            RuntimeError,
            "N=2 examples, but the key 4",
        ),
        (
            lambda: nn.MultiheadAttention(6, 2)(*[dl.zeros(3, 2, 6)] * 3, dl.zeros(3, 2, dtype=dl.bool)),
            RuntimeError,
            r"key_padding_mask must have shape \(2, 3\)",
        ),
        (
            lambda: nn.MultiheadAttention(6, 2)(*[dl.zeros(3, 2, 6)] * 3, attn_mask=dl.zeros(2, 3, dtype=dl.bool)),
            RuntimeError,
            r"attn_mask must have shape \(3, 3\) or \(4, 3, 3\)",
        ),
        (lambda: nn.TransformerEncoderLayer(6, 2, activation="sin"), ValueError, "'sin'"),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        call()


# ── the encoder ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.oracle
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_the_encoder_equals_pytorch(
    rng: np.random.Generator, norm_first: bool, activation: str, batch_first: bool, masked: bool
) -> None:
    torch = oracle()
    options = {"batch_first": batch_first, "norm_first": norm_first, "activation": activation}
    ours = nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 9, 0.0, **options), 2, nn.LayerNorm(6))
    layer = torch.nn.TransformerEncoderLayer(6, 2, 9, 0.0, **options)
    theirs = torch.nn.TransformerEncoder(layer, 2, torch.nn.LayerNorm(6), enable_nested_tensor=False)
    perturb(ours)
    twin(ours, theirs)
    given = padding_and_causal(2, 5, 5, 2)["padding and bool mask"] if masked else {}
    given = {{"attn_mask": "mask", "key_padding_mask": "src_key_padding_mask"}[k]: v for k, v in given.items()}
    x = rng.standard_normal((2, 5, 6) if batch_first else (5, 2, 6))
    a, t = dl.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y = ours(a, **{k: dl.tensor(v) for k, v in given.items()})
    u = theirs(t, **{k: torch.tensor(v) for k, v in given.items()})
    np.testing.assert_allclose(y.detach().numpy(), u.detach().numpy(), rtol=1e-9, atol=1e-11)
    y.square().sum().backward()
    u.square().sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), t.grad.numpy(), rtol=1e-8, atol=1e-9)
    equal_gradients(ours, theirs, 1e-8)


@pytest.mark.oracle
def test_a_layer_without_biases_has_pytorchs_names() -> None:
    torch = oracle()
    twin(nn.TransformerEncoderLayer(6, 2, 9, bias=False), torch.nn.TransformerEncoderLayer(6, 2, 9, bias=False))


def test_a_causal_encoder_ignores_the_future(rng: np.random.Generator) -> None:
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 9, 0.0, batch_first=True), 2).double()
    x = rng.standard_normal((2, 7, 6))
    changed = x.copy()
    changed[:, 4:] += 10
    y, z = (encoder(dl.tensor(a), is_causal=True).detach().numpy() for a in (x, changed))
    np.testing.assert_allclose(z[:, :4], y[:, :4], rtol=1e-12, atol=1e-13)
    assert np.abs(z[:, 4:] - y[:, 4:]).max() > 0.1


def test_padding_is_as_if_it_were_not_there(rng: np.random.Generator) -> None:
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 9, 0.0, batch_first=True), 2).double()
    x = rng.standard_normal((1, 7, 6))
    padding = dl.tensor(np.arange(7)[None] >= 4)
    y = encoder(dl.tensor(x), src_key_padding_mask=padding)[:, :4].detach().numpy()
    np.testing.assert_allclose(y, encoder(dl.tensor(x[:, :4])).detach().numpy(), rtol=1e-11, atol=1e-12)


def test_the_layers_of_an_encoder_share_the_generator_and_nothing_else() -> None:
    """Copies that continued a stream of their own would strike out the same numbers in every layer."""
    stream = Generator(3)
    layer = nn.TransformerEncoderLayer(6, 2, 9, 0.5, generator=stream)
    encoder = nn.TransformerEncoder(layer, 3)
    assert all(m.generator is stream for m in encoder.modules() if isinstance(m, nn.Dropout | nn.MultiheadAttention))
    arrays = [p.array for p in [*encoder.parameters(), *layer.parameters()]]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])
    assert len({id(m) for m in encoder.layers}) == 3
    assert copy.deepcopy(encoder).layers[0].dropout.generator is not stream


@pytest.mark.parametrize("norm_first", [False, True])
def test_second_derivatives_through_a_layer(rng: np.random.Generator, norm_first: bool) -> None:
    """u·Hv = v·Hu, and the composite gives the same Hv."""
    layer = nn.TransformerEncoderLayer(4, 2, 5, 0.0, "gelu", batch_first=True, norm_first=norm_first).double()
    perturb(layer)
    x = dl.tensor(rng.standard_normal((2, 3, 4)), requires_grad=True)
    u, v = (dl.tensor(rng.standard_normal(x.shape)) for _ in range(2))

    def times(direction: Tensor) -> np.ndarray:
        (g,) = dl.autograd.grad(layer(x).pow(3).sum(), x, create_graph=True)
        (h,) = dl.autograd.grad(g, x, direction)
        return h.numpy()

    hv = times(v)
    np.testing.assert_allclose(np.vdot(u.numpy(), hv), np.vdot(v.numpy(), times(u)), rtol=1e-9)
    with use_kernels("numpy"):
        np.testing.assert_allclose(times(v), hv, rtol=1e-8, atol=1e-9)


def test_an_encoder_learns_to_find_the_marked_token(generator: Generator) -> None:
    """A task that needs attention and positions: which token was marked, asked at the first place."""
    rng = generator.numpy
    N, T, E = 64, 6, 16
    where = rng.integers(1, T, N)
    x = 0.3 * rng.standard_normal((N, T, E)).astype("f4")
    x[np.arange(N), where, 0] += 2
    model = nn.Sequential(
        nn.SinusoidalPositions(E),
        nn.TransformerEncoderLayer(E, 2, 32, 0.0, batch_first=True, norm_first=True, generator=generator),
    )
    head = nn.Linear(E, T, generator=generator)
    optimizer = dl.optim.Adam([*model.parameters(), *head.parameters()], lr=0.01)
    for _ in range(60):
        loss = nn.functional.cross_entropy(head(model(dl.tensor(x))[:, 0]), dl.tensor(where))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1 < math.log(T - 1)
