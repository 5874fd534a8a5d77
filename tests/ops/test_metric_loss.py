"""Losses on embeddings: numbers worked by hand, PyTorch, mining by brute force, and the edges where others give nan."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import minidl as dl
import minidl.nn.functional as F
from minidl import nn
from minidl.autograd import grad
from minidl.backend import Generator
from minidl.tensor import Tensor


def tensors(rng: np.random.Generator, *shapes: tuple[int, ...], dtype: str = "f8", scale: float = 1.0) -> list[Tensor]:
    return [dl.tensor((rng.standard_normal(s) * scale).astype(dtype), requires_grad=True) for s in shapes]


# ── numbers worked by hand ────────────────────────────────────────────────────────────────────────


def test_the_triplet_of_lesson_19() -> None:
    """d² are 0.4 and 2.0; with α = 0.2 nothing is left to learn, with α = 2 the loss is 0.4."""
    a, p, n = dl.tensor([1.0, 0.0]), dl.tensor([0.8, 0.6]), dl.tensor([0.0, 1.0])
    np.testing.assert_allclose(F.pairwise_distance(a, p, eps=0).item() ** 2, 0.4, rtol=1e-6)
    np.testing.assert_allclose(F.pairwise_distance(a, n, eps=0).item() ** 2, 2.0, rtol=1e-6)
    assert F.triplet_margin_loss(a, p, n, margin=0.2, squared=True).item() == 0
    np.testing.assert_allclose(F.triplet_margin_loss(a, p, n, margin=2.0, squared=True).item(), 0.4, rtol=1e-6)


def test_contrastive_by_hand() -> None:
    """d = 5 and 0.5, margin 1: ½·25 if alike, 0 beyond the margin, ½·0.25 within it."""
    x, y = dl.tensor([[0.0, 0.0]] * 3), dl.tensor([[3.0, 4.0], [3.0, 4.0], [0.3, 0.4]])
    losses = F.contrastive_loss(x, y, dl.tensor([1, 0, 0]), reduction="none")
    np.testing.assert_allclose(losses.numpy(), [12.5, 0.0, 0.125], rtol=1e-6)


@pytest.mark.parametrize("angle", [0.0, 0.3, 1.2, math.pi / 2, 2.0, math.pi - 0.5, 2.9, math.pi])
@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_margins_on_the_circle(angle: float, margin: float) -> None:
    """An embedding of length 3 at a known angle from the direction of its class."""
    x = dl.tensor([[3 * math.cos(angle), 3 * math.sin(angle)]], dtype=dl.float64)
    w = dl.tensor([[2.0, 0.0], [0.0, 0.5]], dtype=dl.float64)
    other = math.cos(math.pi / 2 - angle)
    arc = math.cos(angle + margin) if angle <= math.pi - margin else math.cos(angle) - 1 + math.cos(margin)
    np.testing.assert_allclose(F.arcface_logits(x, w, [0], 10, margin).numpy(), [[10 * arc, 10 * other]], atol=1e-12)
    cosine = math.cos(angle) - margin
    np.testing.assert_allclose(F.cosface_logits(x, w, [0], 10, margin).numpy(), [[10 * cosine, 10 * other]], atol=1e-12)
    np.testing.assert_allclose(F.cosine_logits(x, w, 10).numpy(), [[10 * math.cos(angle), 10 * other]], atol=1e-12)


def test_the_right_logit_falls_with_the_angle_all_the_way() -> None:
    """cos(θ + m) alone would rise again beyond π − m, and reward the worst embeddings."""
    angles = np.linspace(0, math.pi, 400)
    x = dl.tensor(np.stack([np.cos(angles), np.sin(angles)], 1))
    logits = F.arcface_logits(x, dl.tensor([[1.0, 0.0]], dtype=dl.float64), [0] * 400, 1.0, 0.5).numpy()[:, 0]
    steps = np.diff(logits)
    assert (steps < 0).all()
    assert np.abs(steps).max() < 0.01, "a jump"
    assert (np.cos(angles + 0.5)[-1] > np.cos(angles + 0.5).min() + 0.1).all()


def test_center_loss_by_hand() -> None:
    x, c = dl.tensor([[1.0, 2.0], [0.0, 0.0]], requires_grad=True), dl.tensor([[0.0, 0.0], [3.0, 4.0]])
    c.requires_grad_()
    loss = F.center_loss(x, c, dl.tensor([0, 1]))
    np.testing.assert_allclose(loss.item(), (2.5 + 12.5) / 2)
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), [[0.5, 1.0], [-1.5, -2.0]])
    np.testing.assert_allclose(c.grad.numpy(), [[-0.5, -1.0], [1.5, 2.0]])


# ── mining ────────────────────────────────────────────────────────────────────────────────────────


def by_brute_force(d: np.ndarray, labels: np.ndarray, mining: str, margin: float) -> set[tuple[int, int, int]]:
    """The definition, triplet by triplet."""
    N = range(len(labels))
    every = [
        (a, p, n) for a, p, n in itertools.product(N, N, N)
        if a != p and labels[a] == labels[p] and labels[a] != labels[n]
    ]  # fmt: skip
    if mining == "all":
        return set(every)
    found = set()
    if mining == "hard":
        for a in {t[0] for t in every}:
            mine = [t for t in every if t[0] == a]
            found.add((a, max(mine, key=lambda t: d[a, t[1]])[1], min(mine, key=lambda t: d[a, t[2]])[2]))
        return found
    for a, p in {t[:2] for t in every}:
        fits = [t for t in every if t[:2] == (a, p) and d[a, p] < d[a, t[2]] < d[a, p] + margin]
        if fits:
            found.add(min(fits, key=lambda t: d[a, t[2]]))
    return found


@pytest.mark.parametrize("mining", ["hard", "semi-hard", "all"])
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 0, 2], [0, 1, 2, 3, 3, 3, 3], [0] * 7, [0, 1, 2, 3, 4, 5, 6]])
def test_mining_equals_its_definition(
    rng: np.random.Generator, mining: str, squared: bool, labels: list[int]
) -> None:  # fmt: skip
    x = rng.standard_normal((7, 3))
    d = ((x[:, None] - x) ** 2).sum(axis=2)
    d = d if squared else np.sqrt(d)
    found = [i.tolist() for i in F.mine_triplets(dl.tensor(x), dl.tensor(labels), mining, 1.5, squared=squared)]
    triplets = [*zip(*found, strict=True)]
    assert len(set(triplets)) == len(triplets)
    assert set(triplets) == by_brute_force(d, np.array(labels), mining, 1.5)


@pytest.mark.parametrize("mining", ["hard", "semi-hard", "all"])
def test_the_loss_of_a_batch_is_the_mean_over_its_triplets(rng: np.random.Generator, mining: str) -> None:
    (x,) = tensors(rng, (6, 3))
    labels = dl.tensor([0, 0, 1, 1, 1, 2])
    a, p, n = F.mine_triplets(x, labels, mining, 3.0)
    assert len(a) > 0
    expected = np.mean([
        max(0, ((x[i] - x[j]) ** 2).sum().item() - ((x[i] - x[k]) ** 2).sum().item() + 3.0)
        for i, j, k in zip(a.tolist(), p.tolist(), n.tolist(), strict=True)
    ])  # fmt: skip
    loss = F.batch_triplet_loss(x, labels, 3.0, mining)
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-12)
    assert np.abs(grad(loss, x)[0].numpy()).max() > 0


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
@pytest.mark.parametrize("mining", ["hard", "semi-hard", "all"])
def test_a_batch_without_triplets_costs_nothing(rng: np.random.Generator, labels: list[int], mining: str) -> None:
    (x,) = tensors(rng, (3, 2))
    loss = F.batch_triplet_loss(x, dl.tensor(labels), mining=mining)
    assert loss.item() == 0
    assert not grad(loss, x)[0].numpy().any()


# ── edges ─────────────────────────────────────────────────────────────────────────────────────────

LABELS = np.array([0, 1, 2, 1])
LOSSES: dict[str, Any] = {
    "triplet": lambda x: F.triplet_margin_loss(x, x.flip(0), x.roll(1, 0)),
    "triplet, squared": lambda x: F.triplet_margin_loss(x, x.flip(0), x.roll(1, 0), squared=True),
    "triplet of a batch": lambda x: F.batch_triplet_loss(x, LABELS, squared=False),
    "contrastive": lambda x: F.contrastive_loss(x, x.flip(0), np.array([0, 1, 1, 0])),
    "cosine": lambda x: F.cosine_embedding_loss(x, x.flip(0), np.array([1, -1, -1, 1]), -0.5),
    "cosine similarity": lambda x: F.cosine_similarity(x, x.flip(0)).sum(),
    "distance": lambda x: F.pairwise_distance(x, x.flip(0), eps=0).sum(),
    "arcface": lambda x: F.arcface_loss(x, x.detach().flip(0)[:3], LABELS),
    "cosface": lambda x: F.cosface_loss(x, x.detach().flip(0)[:3], LABELS),
    "arcface of itself": lambda x: F.arcface_loss(x, x, [0, 1, 2, 3]),
    "arcface of its opposite": lambda x: F.arcface_loss(x, -x, [0, 1, 2, 3]),
    "center": lambda x: F.center_loss(x, x.detach().flip(0)[:3], LABELS),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("kind", ["zero", "equal", "huge", "tiny", "one zero"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_no_nan_at_the_edges(rng: np.random.Generator, name: str, kind: str, dtype: str) -> None:
    """T28, T9: embeddings that are 0, that coincide, of size 10⁴ and 10⁻¹⁸: losses and both gradients stay finite."""
    x = rng.standard_normal((4, 3)).astype(dtype)
    x = {"zero": 0 * x, "equal": x[:1].repeat(4, 0), "huge": 1e4 * x, "tiny": 1e-18 * x, "one zero": x}[kind]
    if kind == "one zero":
        x[0] = 0
    leaf = dl.tensor(x.astype(dtype), requires_grad=True)
    loss = LOSSES[name](leaf)
    (g,) = grad(loss, leaf)
    assert loss.dtype == g.dtype == leaf.dtype
    assert np.isfinite(loss.item())
    assert np.isfinite(g.numpy()).all()


@pytest.mark.parametrize("loss", [F.arcface_loss, F.cosface_loss])
def test_logits_of_ten_thousand_in_float32(rng: np.random.Generator, loss: Any) -> None:
    """T9: against float64."""
    x, w = rng.standard_normal((5, 4)), rng.standard_normal((3, 4))
    results = []
    for dtype in ("f4", "f8"):
        a, b = (dl.tensor(v.astype(dtype), requires_grad=True) for v in (x, w))
        y = loss(a, b, [0, 1, 2, 1, 0], scale=1e4)
        results.append([y.item(), *[g.numpy() for g in grad(y, (a, b))]])
    assert results[1][0] > 1e3
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_arcface_has_no_blow_up_where_the_arc_cosine_has(rng: np.random.Generator) -> None:
    """Its slope is infinite at ±1; here the gradient of a logit stays below s(1 + sin m)/|x| up to the very ends."""
    w = np.array([[1.0, 0.0, 0.0]])
    for sign in (1, -1):
        for angle in (0.0, 1e-12, 1e-8, 1e-4, 1e-2):
            x = dl.tensor([[sign * math.cos(angle), math.sin(angle), 0.0]], dtype=dl.float64, requires_grad=True)
            (g,) = grad(F.arcface_logits(x, w, [0], 1.0, 0.5).sum(), x)
            assert np.abs(g.numpy()).max() <= 1 + math.sin(0.5)


def test_small_angles_keep_their_digits_in_float32() -> None:
    """√(1 − cos²) of an angle of 10⁻⁴ would be off by half: 1 − cos² is 10⁻⁸, below the digits of float32."""
    angle, margin = 1e-4, 0.5
    x = dl.tensor([[1.0, angle]], requires_grad=True)
    (g,) = grad(F.arcface_logits(x, dl.tensor([[1.0, 0.0]]), [0], 1.0, margin).sum(), x)
    np.testing.assert_allclose(g.numpy()[0, 1], -math.sin(angle + margin), rtol=1e-3)


# ── what they are for ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["triplet", "arcface", "cosface", "center"])
def test_training_brings_a_class_together(generator: Generator, name: str) -> None:
    """Noisy classes: after training, the farthest of a class is nearer than the nearest stranger, mostly."""
    rng = generator.numpy
    labels = np.repeat(np.arange(4), 8)
    x = dl.tensor((rng.standard_normal((4, 10))[labels] + 0.9 * rng.standard_normal((32, 10))).astype("f4"))
    net = nn.Linear(10, 3, generator=generator)
    heads = {
        "triplet": nn.BatchTripletLoss(0.3),
        "arcface": nn.ArcFace(3, 4, 16.0, 0.3, generator=generator),
        "cosface": nn.CosFace(3, 4, 16.0, 0.2, generator=generator),
        "center": nn.CenterLoss(4, 3, generator=generator),
    }
    head = heads[name]

    def separation() -> float:
        y = F.normalize(net(x)).detach().numpy()
        d = ((y[:, None] - y) ** 2).sum(axis=2)
        alike = labels[:, None] == labels
        return float(d[~alike].mean() / d[alike].mean())

    before = separation()
    extra = nn.Linear(3, 4, generator=generator)
    optimizer = dl.optim.Adam([*net.parameters(), *head.parameters(), *extra.parameters()], lr=0.05)
    for _ in range(60):
        y = net(x)
        if name == "triplet":
            loss = head(F.normalize(y), labels)
        elif name == "center":
            loss = F.cross_entropy(extra(y), labels) + 0.1 * head(y, dl.tensor(labels))
        else:
            loss = F.cross_entropy(head(y, dl.tensor(labels)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert separation() > 2 * before


def test_heads_have_a_margin_only_where_there_are_labels(rng: np.random.Generator) -> None:
    x, t = dl.tensor(rng.standard_normal((5, 4)).astype("f4")), dl.tensor([0, 1, 2, 1, 0])
    for head in (nn.ArcFace(4, 3, 10.0, 0.4), nn.CosFace(4, 3, 10.0, 0.4)):
        plain, hard = head(x).detach().numpy(), head(x, t).detach().numpy()
        right = np.arange(3) == t.numpy()[:, None]
        np.testing.assert_allclose(hard[~right], plain[~right], rtol=1e-5, atol=1e-5)
        assert (hard[right] < plain[right]).all()
        assert [*head.state_dict()] == ["weight"]
        assert head.weight.shape == (3, 4)
    assert [*nn.CenterLoss(3, 4).state_dict()] == ["centers"]


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: F.mine_triplets(dl.zeros(2, 3), dl.tensor([0, 1]), "soft"), ValueError, "'soft'"),
        (lambda: F.mine_triplets(dl.zeros(2, 3), dl.tensor([0])), RuntimeError, r"\(2, 3\) and \(1,\)"),
        (lambda: nn.BatchTripletLoss(mining="soft"), ValueError, "'soft'"),
        (lambda: F.triplet_margin_loss(*[dl.zeros(2, 3)] * 3, p=1, squared=True), ValueError, "p=1"),
        (lambda: F.triplet_margin_loss(*[dl.zeros(2, 3)] * 3, reduction="max"), ValueError, "'max'"),
        (lambda: F.contrastive_loss(dl.zeros(2, 3), dl.zeros(2, 3), dl.tensor([1])), RuntimeError, "as many targets"),
        (
            lambda: F.cosine_embedding_loss(dl.zeros(2, 3), dl.zeros(2, 3), dl.tensor(1)),
            RuntimeError,
            r"targets \(N,\)",
        ),
        (
            lambda: F.arcface_loss(dl.zeros(2, 3), dl.zeros(4, 3), dl.tensor([0, 4])),
            IndexError,
            r"\[0, 4\), got 0 to 4",
        ),
        (lambda: F.cosface_loss(dl.zeros(2, 3), dl.zeros(4, 2), dl.tensor([0, 1])), RuntimeError, r"\(K, E\)"),
        (
            lambda: F.center_loss(dl.zeros(2, 3), dl.zeros(4, 3), dl.zeros(2)),
            RuntimeError,
            "integer labels, got float32",
        ),
        (lambda: F.arcface_logits(dl.zeros(1, 3), dl.zeros(4, 3), [0], margin=4), ValueError, "from 0 to π, got 4"),
        (lambda: nn.CenterLoss(3, 2, reduction="max"), ValueError, "'max'"),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        call()


# ── PyTorch ───────────────────────────────────────────────────────────────────────────────────────


def like_pytorch(ours: Any, theirs: Any, arrays: list[np.ndarray], tolerance: float = 1e-9) -> None:
    """The same values and gradients."""
    torch = pytest.importorskip("torch")
    xs = [dl.tensor(x, requires_grad=True) for x in arrays]
    ts = [torch.tensor(x, requires_grad=True) for x in arrays]
    y, u = ours(*xs), theirs(*ts)
    assert tuple(y.shape) == tuple(u.shape)
    np.testing.assert_allclose(y.detach().numpy(), u.detach().numpy(), rtol=tolerance, atol=tolerance)
    weights = np.random.default_rng(0).uniform(0.5, 1.5, tuple(u.shape))
    y.backward(dl.tensor(weights))
    u.backward(torch.tensor(weights))
    for x, t in zip(xs, ts, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.oracle
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(6, 4), (4,)])
@pytest.mark.parametrize(
    "options", [{}, {"margin": 3.0, "p": 1.0}, {"swap": True, "margin": 2.0}, {"p": 3.0, "eps": 1e-3}]
)
def test_triplet_equals_pytorch(
    rng: np.random.Generator, options: dict[str, Any], shape: tuple[int, ...], reduction: str
) -> None:  # fmt: skip
    torch = pytest.importorskip("torch")
    arrays = [rng.standard_normal(shape) for _ in range(3)]
    like_pytorch(nn.TripletMarginLoss(**options, reduction=reduction),
                 torch.nn.TripletMarginLoss(**options, reduction=reduction), arrays)  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("margin", [0.0, 0.3, -0.4])
def test_cosine_embedding_equals_pytorch(rng: np.random.Generator, margin: float, reduction: str) -> None:
    torch = pytest.importorskip("torch")
    arrays, t = [rng.standard_normal((8, 4)) for _ in range(2)], np.array([1, -1] * 4)
    ours = nn.CosineEmbeddingLoss(margin, reduction=reduction)
    theirs = torch.nn.CosineEmbeddingLoss(margin, reduction=reduction)
    like_pytorch(lambda a, b: ours(a, b, dl.tensor(t)), lambda a, b: theirs(a, b, torch.tensor(t)), arrays)


@pytest.mark.oracle
@pytest.mark.parametrize("options", [{}, {"p": 1.0}, {"p": 3.0, "keepdim": True}, {"p": math.inf, "eps": 1e-2}])
def test_distances_equal_pytorch(rng: np.random.Generator, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    for shapes in (((5, 3), (5, 3)), ((5, 3), (3,)), ((3,), (3,))):
        arrays = [rng.standard_normal(s) for s in shapes]
        like_pytorch(nn.PairwiseDistance(**options), torch.nn.PairwiseDistance(**options), arrays)
    for dim in (0, 1, -1):
        like_pytorch(lambda a, b, dim=dim: F.cosine_similarity(a, b, dim),
                     lambda a, b, dim=dim: torch.nn.functional.cosine_similarity(a, b, dim),
                     [rng.standard_normal((2, 3)) for _ in range(2)])  # fmt: skip
