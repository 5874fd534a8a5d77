"""Explanations light what decides: a known patch, a hand computation, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from minidl import nn
from minidl.backend import Generator
from minidl.creation import tensor
from minidl.faces.classical import Eigenfaces
from minidl.faces.errors import BadImage, BadScores, FaceError
from minidl.faces.explain import (
    attention_weights,
    enlarged,
    explain_face,
    grad_cam,
    gradient_map,
    gradient_times_input,
    likeness,
    nearest_neighbours,
    occlusion_map,
    overlay,
    pairs_picture,
    roll_out,
    rollout_map,
    worst_pairs,
)
from minidl.faces.generated import GeneratedFaces, generated_faces
from minidl.faces.network_classifier import NetworkClassifier
from minidl.faces.networks import NETWORKS
from minidl.kernels import use_kernels
from minidl.tensor import Tensor

H, W = 16, 12
PATCH = (slice(4, 8), slice(6, 10))
"""Where the models of these tests look."""


@pytest.fixture
def face(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(30, 226, (H, W)).astype(np.uint8)


class Looks(nn.Module):
    """Two logits: the sum of a known patch, and minus that; a dense layer could hide a slip of an axis."""

    def forward(self, x: Tensor) -> Tensor:
        total = x[:, 0, PATCH[0], PATCH[1]].sum((1, 2))
        return (total[:, None] * tensor([[1.0, -1.0]])).reshape(-1, 2)


class Convolved(nn.Module):
    """Two feature maps, then their means with weights 3 and -1 for the one logit, 0 and 2 for the other."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 2, stride=2, bias=False, generator=Generator(1))
        self.dense = nn.Linear(2, 2, bias=False)
        self.dense.load_state_dict({"weight": np.array([[3.0, -1.0], [0.0, 2.0]], np.float32)})

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.conv(x).mean((2, 3)))


def inside_and_outside(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros(found.shape, bool)
    mask[PATCH] = True
    return found[mask], found[~mask]


# ── occlusion ─────────────────────────────────────────────────────────────────────────────────────


def test_occlusion_lights_the_patch_that_decides_and_nothing_else(face: np.ndarray) -> None:
    face[PATCH] = 255

    def score(x: np.ndarray) -> np.ndarray:
        return x[:, PATCH[0], PATCH[1]].mean((1, 2), dtype=np.float64)

    inside, outside = inside_and_outside(occlusion_map(score, face, patch=1, step=1))
    expected = (255 - round(float(face.mean()))) / 16
    np.testing.assert_allclose(inside, expected, rtol=1e-5)
    assert (outside == 0).all()
    coarse = occlusion_map(score, face, patch=4, step=2)
    assert coarse[PATCH].mean() > 3 * np.delete(coarse.ravel(), np.ravel_multi_index((5, 7), (H, W))).mean()


def test_occlusion_covers_every_pixel_about_as_often(face: np.ndarray) -> None:
    """The corners too: a model that looks at a corner alone is found out."""
    for corner in ((0, 0), (0, W - 1), (H - 1, 0), (H - 1, W - 1)):
        made = face.copy()
        made[corner] = 255
        found = occlusion_map(lambda x, at=corner: x[(slice(None), *at)].astype(float), made, patch=5, step=3)
        assert found[corner] == found.max() > 0
        assert found[H - 1 - corner[0], W - 1 - corner[1]] == 0
        assert np.isfinite(found).all()


def test_occlusion_leaves_the_image_alone_and_names_bad_arguments(face: np.ndarray) -> None:
    before = face.copy()
    occlusion_map(lambda x: x.mean((1, 2)), face)
    np.testing.assert_array_equal(face, before)
    with pytest.raises(BadImage, match="patch=40 must lie in"):
        occlusion_map(lambda x: x.mean((1, 2)), face, patch=40)
    with pytest.raises(BadImage, match="step=5"):
        occlusion_map(lambda x: x.mean((1, 2)), face, patch=3, step=5)
    with pytest.raises(BadImage, match="float64"):
        occlusion_map(lambda x: x.mean((1, 2)), face / 255.0)


def test_likeness_is_the_largest_cosine_with_the_person() -> None:
    known = np.array([[1.0, 0.0], [0.0, 1.0]])
    score = likeness(lambda x: np.array([[0.6, 0.8], [1.0, 0.0]]), known)
    np.testing.assert_allclose(score(np.zeros((2, 3, 3), np.uint8)), [0.8, 1.0])


# ── gradients ─────────────────────────────────────────────────────────────────────────────────────


def test_the_gradient_lights_the_patch_that_decides_and_nothing_else(face: np.ndarray) -> None:
    x = (face / np.float32(255))[None, None].astype(np.float32)
    for target, sign in ((0, 1), (1, -1)):
        inside, outside = inside_and_outside(gradient_map(Looks(), x, target))
        assert (inside == 1).all(), "the size of the gradient, whatever its sign"
        assert (outside == 0).all()
        inside, outside = inside_and_outside(gradient_times_input(Looks(), x, target))
        np.testing.assert_allclose(inside, sign * x[0, 0][PATCH].ravel())
        assert (outside == 0).all()


def test_contributions_of_a_linear_network_add_up_to_its_answer(rng: np.random.Generator) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(H * W, 3, bias=False, generator=Generator(0)))
    x = rng.random((1, 1, H, W), np.float32)
    for target in range(3):
        answer = network(Tensor(x)).detach().numpy()[0, target]
        assert gradient_times_input(network, x, target).sum() == pytest.approx(answer, rel=1e-4)


def test_the_gradient_agrees_with_a_difference_quotient(rng: np.random.Generator) -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1, generator=Generator(2)), nn.Tanh(), nn.Flatten())
    network.append(nn.Linear(3 * H * W, 2, generator=Generator(3)))
    x, step = rng.random((1, 1, H, W), np.float32), 1e-2
    with use_kernels("numpy"):  # nothing to compile for one small image
        found = gradient_map(network, x, 1)
        for place in ((0, 0), (7, 5), (15, 11)):
            up, down = x.copy(), x.copy()
            up[(0, 0, *place)] += step
            down[(0, 0, *place)] -= step
            rise = (network(Tensor(up)) - network(Tensor(down))).detach().numpy()[0, 1] / (2 * step)
            assert found[place] == pytest.approx(abs(float(rise)), abs=2e-3)


def test_grad_cam_is_what_one_computes_by_hand(rng: np.random.Generator) -> None:
    """The logit is 3 mean A_0 - mean A_1, so both gradients are constant: w = (3, -1) / (places)."""
    network, x = Convolved(), rng.random((1, 1, H, W), np.float32)
    a = network.conv(Tensor(x)).detach().numpy()[0]
    places = a.shape[1] * a.shape[2]
    np.testing.assert_allclose(grad_cam(network, x, 0), np.maximum(3 * a[0] - a[1], 0) / places, atol=1e-6)
    np.testing.assert_allclose(grad_cam(network, x, 1), np.maximum(2 * a[1], 0) / places, atol=1e-6)
    np.testing.assert_allclose(grad_cam(network, x, 0, network.conv), grad_cam(network, x, 0))


def test_grad_cam_says_when_there_is_no_map(rng: np.random.Generator) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(H * W, 2))
    with pytest.raises(FaceError, match="needs a map of features"):
        grad_cam(network, rng.random((1, 1, H, W), np.float32), 0)
    with pytest.raises(FaceError, match=r"no answer 2 among logits of shape \(1, 2\)"):
        gradient_map(network, rng.random((1, 1, H, W), np.float32), 2)


def test_explaining_leaves_no_trace_in_the_network(rng: np.random.Generator) -> None:
    """No hook, no gradient, no change of mode, also when it fails."""
    network, x = Convolved().train(), rng.random((1, 1, H, W), np.float32)
    for explain in (grad_cam, gradient_map):
        explain(network, x, 0)
        with pytest.raises(FaceError):
            explain(network, x, 9)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(not module._hooks for module in network.modules())
    assert all(module.training for module in network.modules())


# ── attention ─────────────────────────────────────────────────────────────────────────────────────


def test_a_roll_out_multiplies_the_layers_with_their_residuals() -> None:
    """Token 0 looks at 1 in the second layer, 1 looks at 2 in the first: a quarter of 2 reaches 0."""
    first, second = np.eye(3)[None].repeat(2, 0), np.eye(3)[None].repeat(2, 0)
    first[:, 1] = [0, 0, 1]
    second[:, 0] = [0, 1, 0]
    rolled = roll_out([first, second])
    np.testing.assert_allclose(rolled[0], [0.5, 0.25, 0.25])
    np.testing.assert_allclose(rolled.sum(1), 1)
    heads = np.stack([np.eye(2), np.eye(2)[::-1]])
    np.testing.assert_allclose(roll_out([heads]), [[0.75, 0.25], [0.25, 0.75]])


@pytest.mark.parametrize(("name", "extra"), [("attention", 0), ("vit", 1)])
def test_a_transformer_shows_where_it_looked(name: str, extra: int, rng: np.random.Generator) -> None:
    network = NETWORKS[name].build(3, (32, 24), Generator(0)).eval()
    x = rng.standard_normal((1, 1, 32, 24)).astype(np.float32)
    before = network(Tensor(x)).detach().numpy()
    weights, grid = attention_weights(network, x)
    assert grid is not None
    for layer in weights:
        assert layer.shape[1:] == (grid[0] * grid[1] + extra,) * 2
        np.testing.assert_allclose(layer.sum(-1), 1, atol=1e-5)
    found = rollout_map(network, x)
    assert found.shape == grid
    assert (found > 0).all()
    assert found.sum() == pytest.approx(1) if not extra else 0.1 < found.sum() < 1
    np.testing.assert_array_equal(network(Tensor(x)).detach().numpy(), before)


def test_a_roll_out_of_a_recognizer_shows_what_is_beyond_the_least(people: GeneratedFaces) -> None:
    model = NetworkClassifier("vit", (112, 92)).fit(people.images, people.labels, epochs=3)
    found = explain_face(model, people.images[0], 0, model.represent(people.images[:4]), 0, "rollout").map
    assert found.shape == (112, 92)
    assert 0 <= found.min() < 0.1 * found.max()


def test_a_token_that_is_copied_everywhere_lights_up_in_the_roll_out(rng: np.random.Generator) -> None:
    """Queries and keys by hand: every patch looks at the bright one only."""

    class Bright(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Conv2d(1, 1, 4, stride=4, bias=False)
            self.tokens.load_state_dict({"weight": np.full((1, 1, 4, 4), 1 / 16, np.float32)})
            self.attention = nn.MultiheadAttention(1, 1, batch_first=True)
            self.attention.load_state_dict(
                {
                    "in_proj_weight": np.array([[0.0], [40.0], [1.0]], np.float32),
                    "in_proj_bias": np.array([1.0, 0, 0], np.float32),  # the query is 1 everywhere
                    "out_proj.weight": np.ones((1, 1), np.float32),
                    "out_proj.bias": np.zeros(1, np.float32),
                }
            )

        def forward(self, x: Tensor) -> Tensor:
            t = self.tokens(x).flatten(2).transpose(1, 2)
            y, _ = self.attention(t, t, t, need_weights=False)
            return y.mean(1)

    x = 0.1 * rng.random((1, 1, H, W), np.float32)
    x[0, 0, 8:12, 4:8] = 1
    found = rollout_map(Bright(), x)
    assert found.shape == (4, 3)
    assert np.unravel_index(found.argmax(), found.shape) == (2, 1)
    assert found[2, 1] == pytest.approx(0.5 + 0.5 / 12, abs=1e-3)


def test_a_network_without_attention_says_so(rng: np.random.Generator) -> None:
    with pytest.raises(FaceError, match="needs attention"):
        rollout_map(Convolved(), rng.random((1, 1, H, W), np.float32))


# ── neighbours and pairs ──────────────────────────────────────────────────────────────────────────


def test_the_nearest_neighbours_come_first_and_equals_in_order() -> None:
    gallery = np.array([[0.6, 0.8], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    found = nearest_neighbours(np.array([1.0, 0.0]), gallery, k=3)
    assert [one.place for one in found] == [1, 3, 0]
    assert found[2].similarity == pytest.approx(0.6)
    with pytest.raises(BadScores, match=r"shape \(3,\)"):
        nearest_neighbours(np.zeros(3), gallery)


def test_the_worst_pairs_are_alike_strangers_and_unlike_pictures_of_one_person() -> None:
    angles = np.radians([0, 50, 52, 100, 3])
    rows = np.stack([np.cos(angles), np.sin(angles)], 1)
    found = worst_pairs(rows, np.array(["a", "a", "b", "b", "c"]), k=2)
    assert [(pair.first, pair.second) for pair in found.impostors] == [(1, 2), (0, 4)]
    assert [(pair.first, pair.second) for pair in found.genuine] == [(0, 1), (2, 3)]
    assert found.genuine[0].similarity == pytest.approx(np.cos(np.radians(50)))
    with pytest.raises(BadScores, match="labels"):
        worst_pairs(rows, np.array([1, 2]))


def test_pairs_are_drawn_above_each_other() -> None:
    images = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((3, 2, 2), np.uint8)
    rows = np.eye(3)
    sheet = pairs_picture(images, worst_pairs(rows, np.array([0, 1, 2])).impostors, gap=1)
    assert sheet.tolist() == [[0, 0], [0, 0], [255, 255], [1, 1], [1, 1]]
    with pytest.raises(BadScores, match="no pair"):
        pairs_picture(images, [])


# ── pictures ──────────────────────────────────────────────────────────────────────────────────────


def test_red_speaks_for_and_blue_against() -> None:
    image = np.full((1, 3), 120, np.uint8)
    made = overlay(image, np.array([[-1.0, 0.0, 1.0]], np.float32)).astype(int)
    assert made[0, 0, 2] > made[0, 0, 0] + 60
    assert made[0, 1].tolist() == [120, 120, 120]
    assert made[0, 2, 0] > made[0, 2, 2] + 60
    assert overlay(image, np.zeros((1, 3), np.float32)).tolist() == [[[120] * 3] * 3]
    with pytest.raises(BadImage, match=r"\(2, 2\) does not fit"):
        overlay(image, np.zeros((2, 2), np.float32))


def test_a_map_grows_without_moving() -> None:
    small = np.zeros((7, 6))
    small[2, 4] = 1
    large = enlarged(small, (112, 92))
    rows, columns = np.mgrid[:112, :92]
    assert (large * rows).sum() / large.sum() == pytest.approx(2.5 * 16 - 0.5, abs=0.1)
    assert (large * columns).sum() / large.sum() == pytest.approx(4.5 * 92 / 6 - 0.5, abs=0.1)
    np.testing.assert_allclose(enlarged(np.ones((3, 3)), (10, 11)), 1)


# ── models ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def people() -> GeneratedFaces:
    return generated_faces(4, 4, difficulty="easy", seed=2)


def test_every_model_explains_itself_by_occlusion(people: GeneratedFaces) -> None:
    model = Eigenfaces().fit(people.images, people.labels)
    known = model.represent(people.images[:4])
    found = explain_face(model, people.images[0], 0, known, "ann")
    assert (found.method, found.target, found.map.shape) == ("occlusion", "ann", (112, 92))
    assert found.picture().shape == (112, 92, 3)
    assert np.ptp(found.map) > 0
    with pytest.raises(FaceError, match="grad-cam needs a network"):
        explain_face(model, people.images[0], 0, known, "ann", "grad-cam")
    with pytest.raises(FaceError, match="called 'magic'"):
        explain_face(model, people.images[0], 0, known, "ann", "magic")


@pytest.mark.parametrize("name", ["cnn", "gru"])
def test_a_trained_network_explains_itself(name: str, people: GeneratedFaces) -> None:
    """A face half replaced by a stranger's: what speaks for the person lies in the person's own half."""
    model = NetworkClassifier(name, (112, 92)).fit(people.images, people.labels, epochs=120)
    mixed = people.images[0].copy()
    mixed[:, 46:] = people.images[5][:, 46:]
    known = model.represent(people.images[:4])
    found = explain_face(model, mixed, 0, known, 0).map
    assert found[:, :40].mean() > found[:, 52:].mean()
    methods = ["gradient", "gradient-input", *(["grad-cam"] if name == "cnn" else [])]
    for method in methods:
        other = explain_face(model, people.images[0], 0, known, 0, method).map
        assert other.shape == mixed.shape
        assert np.isfinite(other).all()
        assert np.ptp(other) > 0
