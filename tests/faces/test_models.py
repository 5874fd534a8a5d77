"""The networks for faces: shapes, what a block and a classifier by angle compute, and where their numbers come from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
from minidl.autograd import gradcheck
from minidl.backend import Generator, default_generator
from minidl.faces.errors import BadImage
from minidl.faces.models import CosineClassifier, FaceCNN, FaceNetwork, ResidualBlock
from minidl.faces.networks import NETWORKS, input_size


def _draw(*shape, seed=0):
    return dl.tensor(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


# ── the convolutional network ─────────────────────────────────────────────────────────────────────


def test_the_face_cnn_has_the_parameters_counted_by_hand():
    convolutions = 25 * 16 + 2 * 9 * 16 * 16 + 9 * (16 * 32 + 32 * 32) + 16 * 32 + 9 * (32 * 64 + 64 * 64) + 32 * 64
    normalisations = 2 * (16 + 2 * 16 + 2 * 32 + 2 * 64 + 128)
    dense = 64 * 7 * 6 * 128 + 40 * 128
    assert sum(p.numel() for p in FaceCNN(40).parameters()) == convolutions + normalisations + dense


@given(st.integers(16, 61), st.integers(16, 61), st.integers(1, 3))
def test_every_input_of_16_by_16_pixels_or_more_passes(rows, columns, images):
    network = FaceCNN(5, (rows, columns), width=2, features=7, generator=Generator(0)).eval()
    x = _draw(images, 1, rows, columns)
    assert network.embed(x).shape == (images, 7)
    assert network(x).shape == (images, 5)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_logits_are_the_classifier_on_the_embedding(name):
    network = NETWORKS[name].build(6, (24, 20), Generator(3)).eval()
    x = _draw(3, 1, 24, 20)
    assert isinstance(network, FaceNetwork)
    assert np.array_equal(network(x).detach().numpy(), network.classifier(network.embed(x)).detach().numpy())


@pytest.mark.parametrize("name", NETWORKS)
def test_first_weights_come_from_the_given_generator_alone(name):
    before = default_generator.get_state()
    one, same, other = (NETWORKS[name].build(4, (24, 20), Generator(seed)).state_dict() for seed in (1, 1, 2))
    assert all(np.array_equal(one[key].numpy(), same[key].numpy()) for key in one)
    assert any(not np.array_equal(one[key].numpy(), other[key].numpy()) for key in one)
    assert default_generator.get_state() == before


def test_dropout_draws_from_the_given_generator_alone():
    x = _draw(8, 1, 24, 20)
    before = default_generator.get_state()
    first, second = (FaceCNN(4, (24, 20), width=2, generator=Generator(5)) for _ in range(2))
    assert np.array_equal(first(x).detach().numpy(), second(x).detach().numpy())
    assert not np.array_equal(first(x).detach().numpy(), first(x).detach().numpy()), "the second draw is another one"
    assert default_generator.get_state() == before


# ── a residual block ──────────────────────────────────────────────────────────────────────────────


def test_a_block_whose_last_factors_are_zero_is_its_shortcut():
    x = _draw(2, 3, 9, 7)
    block = ResidualBlock(3, 3).eval()
    block.body[-1].weight.data = np.zeros(3, np.float32)
    assert np.array_equal(block(x).detach().numpy(), np.maximum(x.numpy(), 0))


@given(st.integers(2, 12), st.integers(2, 12), st.sampled_from([1, 2, 3]))
def test_the_shortcut_is_as_large_as_the_body(h, w, stride):
    block = ResidualBlock(2, 4, stride=stride, generator=Generator(0))
    assert block(_draw(2, 2, h, w)).shape == (2, 4, -(-h // stride), -(-w // stride))


# ── the classifier by angle ───────────────────────────────────────────────────────────────────────


def test_logits_are_scaled_cosines():
    classifier = CosineClassifier(5, 3, scale=7.0, generator=Generator(1))
    x, w = np.random.default_rng(2).normal(size=(4, 5)), classifier.weight.detach().numpy()
    cosines = [[row @ v / np.linalg.norm(row) / np.linalg.norm(v) for v in w] for row in x]
    assert np.allclose(classifier(dl.tensor(x.astype(np.float32))).detach().numpy(), 7 * np.array(cosines), atol=1e-5)


def test_the_length_of_an_embedding_does_not_matter():
    classifier, x = CosineClassifier(6, 4, generator=Generator(0)), _draw(5, 6)
    assert np.allclose(classifier(x).detach().numpy(), classifier(1000 * x).detach().numpy(), atol=1e-4)


def test_t28_an_embedding_of_zeros_has_a_finite_gradient():
    classifier = CosineClassifier(6, 4, generator=Generator(0))
    x = dl.zeros(2, 6, requires_grad=True)
    (classifier(x) ** 2).sum().backward()
    assert np.isfinite(x.grad.numpy()).all()
    assert np.isfinite(classifier.weight.grad.numpy()).all()


def test_gradient_of_the_classifier():
    classifier = CosineClassifier(4, 3, generator=Generator(0)).double()
    x = dl.tensor(np.random.default_rng(0).normal(size=(2, 4)), requires_grad=True)
    assert gradcheck(classifier, x)


# ── the size that a network sees ──────────────────────────────────────────────────────────────────


@given(st.integers(16, 500), st.integers(16, 500))
def test_the_input_keeps_the_shape_and_never_grows(rows, columns):
    try:
        h, w = input_size((rows, columns))
    except BadImage:
        assert min(rows, columns) < 100 or max(rows, columns) / min(rows, columns) > 9
        return
    assert 16 <= h <= rows
    assert 16 <= w <= columns
    assert h * w <= 1.1 * 56 * 46 or (h, w) == (rows, columns)
    assert abs(np.log((h / w) / (rows / columns))) < 0.06


def test_images_without_enough_pixels_are_refused():
    with pytest.raises(BadImage, match=r"images of 112×9 pixels .* leave 112×9 to the network, which needs 16×16"):
        input_size((112, 9))
