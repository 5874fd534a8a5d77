"""Every model behind the one recognizer: it learns, is stored, repeats itself; losses and purposes do what they say."""

from dataclasses import replace

import numpy as np
import pytest

import minidl as dl
from minidl.backend import Generator
from minidl.faces import FaceRecognizer
from minidl.faces.errors import BadDataset
from minidl.faces.generated import generated_faces
from minidl.faces.losses import LOSSES, arcface, cross_entropy, triplet
from minidl.faces.models import Committee, FaceCNN, FaceRows
from minidl.faces.network_classifier import NetworkClassifier
from minidl.faces.networks import NETWORKS
from minidl.faces.protocol import damage
from minidl.faces.purposes import PURPOSES, with_loss
from minidl.faces.recognizer import MODELS

SIZE = (36, 32)
FACES = generated_faces(people=4, per_person=8, size=SIZE, seed=5, difficulty="easy")
LEARN = np.arange(32) % 8 < 5


def _fitted(model="gru", epochs=80, seed=1, **options):
    recognizer = FaceRecognizer(model, SIZE, seed=seed, **options)
    return recognizer.fit(FACES.images[LEARN], FACES.labels[LEARN], epochs=epochs, progress=False)


def _wrong(recognizer, images=FACES.images):
    return np.mean(recognizer.predict(images[~LEARN]) != FACES.labels[~LEARN])


@pytest.mark.parametrize("model", MODELS)
def test_every_model_learns_four_people_and_is_the_same_after_storing(model, tmp_path):
    recognizer = _fitted(model)
    assert _wrong(recognizer) <= 1 / 12, "at most one of twelve"
    assert recognizer.evaluate(FACES.images[~LEARN], FACES.labels[~LEARN]).rank1 >= 11 / 12
    recognizer.save(tmp_path / "m")
    loaded = FaceRecognizer.load(tmp_path / "m")
    assert np.array_equal(loaded.represent(FACES.images), recognizer.represent(FACES.images))
    assert np.array_equal(loaded.predict(FACES.images), recognizer.predict(FACES.images))
    assert (loaded.model, loaded.purpose, loaded.parameter_count) == (model, "identification", loaded.parameter_count)


@pytest.mark.parametrize("model", NETWORKS)
def test_every_network_is_repeated_by_its_seed_bit_for_bit(model):
    one, same, other = (_fitted(model, 3, seed).represent(FACES.images) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("model", [model for model in MODELS if model not in ("cnn", "eigen", "fisher")])
def test_every_network_takes_faces_of_odd_sizes(model):
    images = FACES.images[:8, 2:35, 7:24]
    recognizer = FaceRecognizer(model, (33, 17)).fit(images, FACES.labels[4:12], epochs=1, progress=False)
    assert recognizer.predict(images).shape == (8,)


def test_the_gru_of_document_004_has_two_layers_and_drops_half_of_the_states():
    network = FaceRows(3, SIZE, "gru", layers=2, dropout=0.5, generator=Generator(0))
    assert (network.reader.num_layers, network.reader.dropout, network.dropout.p) == (2, 0.5, 0.5)
    x = dl.tensor(FACES.images[:4, None].astype(np.float32) / 255)
    assert not np.array_equal(network(x).detach().numpy(), network(x).detach().numpy())
    network.eval()
    assert np.array_equal(network(x).detach().numpy(), network(x).detach().numpy())


# ── losses ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_leads_to_embeddings_and_names(loss, tmp_path):
    recognizer = _fitted("gru", loss=loss)
    assert _wrong(recognizer) <= 1 / 12
    recognizer.save(tmp_path / "m")
    loaded = FaceRecognizer.load(tmp_path / "m")
    assert loaded.loss == loss
    assert np.array_equal(loaded.predict(FACES.images), recognizer.predict(FACES.images))


def test_a_margin_makes_the_loss_larger_and_comes_slowly():
    network = FaceCNN(4, SIZE, width=2, features=6, generator=Generator(0)).eval()
    x, y = dl.tensor(FACES.images[:, None].astype(np.float32) / 255), dl.tensor(FACES.labels)
    plain = cross_entropy(network, x, y, 0.5, 1.0).item()
    assert arcface(network, x, y, 0.5, 0.0).item() == pytest.approx(plain, rel=1e-5)
    half, full = (arcface(network, x, y, 0.5, done).item() for done in (0.15, 0.3))
    assert plain < half < full
    assert arcface(network, x, y, 0.5, 1.0).item() == full


def test_the_triplet_loss_is_about_the_hardest_pairs():
    network = FaceCNN(4, SIZE, width=2, features=6, generator=Generator(0)).eval()
    x, y = dl.tensor(FACES.images[:, None].astype(np.float32) / 255), FACES.labels
    e = network.embed(x).detach().numpy()
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    apart = np.square(e[:, None] - e).sum(2)
    same = y[:, None] == y
    worst = [apart[k][same[k]].max() - apart[k][~same[k]].min() for k in range(len(y))]
    expected = np.mean(np.maximum(np.array(worst) + 0.4, 0))
    assert triplet(network, x, dl.tensor(y), 0.4, 0.0).item() == pytest.approx(expected, rel=1e-3)


def test_a_loss_that_compares_names_people_by_their_mean_embedding():
    network = _fitted("gru", epochs=10, loss="triplet")._classifier
    embeddings, codes = network.gallery
    centres = np.stack([embeddings[codes == k].mean(0) for k in range(4)])
    assert np.allclose(network.network.classifier.weight.detach().numpy(), centres, atol=1e-6)


# ── purposes ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("purpose", PURPOSES)
def test_every_purpose_names_people_and_is_remembered(purpose, tmp_path):
    recognizer = _fitted("gru", purpose=purpose)
    assert _wrong(recognizer) <= 1 / 12
    recognizer.save(tmp_path / "m")
    loaded = FaceRecognizer.load(tmp_path / "m")
    assert loaded.purpose == purpose
    assert loaded.classes == recognizer.classes == [0, 1, 2, 3], "nobody who was made up"
    assert np.array_equal(loaded.represent(FACES.images), recognizer.represent(FACES.images))


def test_a_network_for_damage_sees_through_a_black_half():
    images = damage(FACES.images, "lower half")
    assert _wrong(_fitted("cnn", purpose="damage", epochs=250), images) <= 2 / 12


def test_validation_of_a_network_for_verification_counts_real_people():
    recognizer = FaceRecognizer("gru", SIZE, purpose="verification")
    held_out = FACES.images[~LEARN], FACES.labels[~LEARN]
    recognizer.fit(FACES.images[LEARN], FACES.labels[LEARN], epochs=60, validation=held_out, progress=False)
    assert [row["error"] for row in recognizer.history if "error" in row][-1] == _wrong(recognizer)


def test_an_unbalanced_gallery_keeps_the_people_with_few_images():
    few = LEARN & ((FACES.labels < 2) | (np.arange(32) % 8 < 1))
    recognizer = FaceRecognizer("gru", SIZE, seed=1)
    recognizer.fit(FACES.images[few], FACES.labels[few], epochs=130, progress=False)
    recall = recognizer.evaluate(FACES.images[~LEARN], FACES.labels[~LEARN]).recall
    assert min(recall.values()) >= 2 / 3


def test_unknown_choices_are_refused_in_a_sentence():
    with pytest.raises(BadDataset, match="no purpose 'fun': choose one of identification, verification, damage"):
        FaceRecognizer("cnn", SIZE, purpose="fun")
    with pytest.raises(BadDataset, match="no loss 'l1': choose one of cross-entropy, arcface, triplet"):
        FaceRecognizer("cnn", SIZE, loss="l1")
    with pytest.raises(BadDataset, match="lbp has no steps of training"):
        FaceRecognizer("lbp", SIZE, purpose="damage")
    with pytest.raises(BadDataset, match="eigen has no steps of training"):
        FaceRecognizer("eigen", SIZE, loss="triplet")


def test_answers_are_means_over_the_mirror_image_and_the_moved_ones():
    recipe = PURPOSES["verification"](NETWORKS["cnn"].recipe)
    views = NetworkClassifier("cnn", SIZE, recipe=recipe)._views(FACES.images[:1].astype(np.float32))
    assert len(views) == 10
    assert np.array_equal(views[0], FACES.images[:1])
    assert np.array_equal(views[1][:, 2:], FACES.images[:1, :-2])
    assert all(np.array_equal(view[:, :, ::-1], other) for view, other in zip(views[:5], views[5:], strict=True))
    mirrored = _fitted("gru", 5)
    assert np.allclose(mirrored.represent(FACES.images), mirrored.represent(FACES.images[:, :, ::-1].copy()), atol=1e-5)


def test_with_loss_keeps_a_recipe_that_has_it():
    recipe = NETWORKS["cnn"].recipe
    assert with_loss(recipe, "cross-entropy") is recipe
    assert with_loss(recipe, "arcface").margin > 0


# ── committees ────────────────────────────────────────────────────────────────────────────────────


def test_a_committee_answers_with_the_mean_of_its_members():
    members = [FaceCNN(4, SIZE, width=2, features=6, scale=7.0, generator=Generator(seed)).eval() for seed in (0, 1, 2)]
    together = Committee(members).eval()
    x = dl.tensor(FACES.images[:5, None].astype(np.float32) / 255)
    expected = np.mean([member(x).detach().numpy() for member in members], 0)
    assert np.allclose(together(x).detach().numpy(), expected, atol=1e-4)
    assert together.embed(x).shape == (5, 18)


def test_members_differ_and_the_first_is_the_network_alone():
    alone = NetworkClassifier("cnn", SIZE, seed=4, recipe=replace(NETWORKS["cnn"].recipe, members=1))
    pair = NetworkClassifier("cnn", SIZE, seed=4)
    for classifier in (alone, pair):
        classifier.fit(FACES.images[LEARN], FACES.labels[LEARN], epochs=3)
    first, second = pair.network.members
    same = alone.network.state_dict()
    assert all(np.array_equal(same[key].numpy(), first.state_dict()[key].numpy()) for key in same)
    assert not np.array_equal(first.classifier.weight.detach().numpy(), second.classifier.weight.detach().numpy())
    assert pair.history["step"] == list(range(1, 1 + 2 * len(alone.history)))
    assert np.all(np.diff(pair.history["seconds"]) > 0)
