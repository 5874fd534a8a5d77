"""Labelled faces from a folder, an .npz file or a name.

The ORL images are the AT&T Laboratories Cambridge "Database of Faces" (formerly the ORL Database of Faces):
credit Olivetti Research Laboratory / AT&T Laboratories Cambridge; F. Samaria and A. Harter, "Parameterisation
of a stochastic model for human face identification", IEEE Workshop on Applications of Computer Vision, 1994.
They are not part of this package.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from minidl.backend import Array
from minidl.faces.errors import BadDataset
from minidl.faces.generated import generated_faces
from minidl.faces.images import SUFFIXES, read_image, resize, to_grey
from minidl.faces.photographs import SIZE
from minidl.faces.probes import stack_of_faces
from minidl.faces.protocol import natural_order, people

Size: TypeAlias = tuple[int, int]

NAMES = ("orl", "generated", "synthetic")
"""What `load` knows by name; "synthetic" is another word for "generated"."""
MOST_BYTES = 4_000_000_000
"""An .npz file that would unpack to more is refused."""


@dataclass(frozen=True)
class FaceDataset:
    """Faces and who they show.

    Attributes:
        images: (n, h, w) uint8.
        labels: (n,) int64, or strings where people are known by name (a folder's people always are).
        names: every person once, as text, in the order of `codes`.
        description: one line on where the images come from.
    """

    images: NDArray[np.uint8]
    labels: Array
    names: list[str]
    description: str

    @property
    def codes(self) -> NDArray[np.int64]:
        """(n,) int64: the index into `names` of who each image shows."""
        order = {person: k for k, person in enumerate(people(self.labels))}
        return np.array([order[label] for label in self.labels.tolist()], np.int64)

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: Array) -> FaceDataset:
        """Some of the images, with the names of the people who are left.

        Arguments:
            indices: (m,) integers or (n,) bool.
        """
        left = sorted(set(self.codes[indices].tolist()))
        return FaceDataset(self.images[indices], self.labels[indices], [self.names[k] for k in left], self.description)


def load(
    source: str | PathLike[str], image_size: Size | None = None, min_people: int = 2, photographs: bool = False
) -> FaceDataset:
    """Labelled faces.

    Arguments:
        source: "orl"; "generated" (40 drawn people, ten images each); a folder that holds one folder a
            person; or an .npz file with `images` and `labels`. A folder that has such a name is ./name.
        image_size: (rows, columns) to bring every image to; None keeps them, and all must be of one size.
        min_people: how many different people there must be.
        photographs: whether the pictures of a folder are photographs, in each of which one face is to be found and
            aligned, at `image_size` or (112, 92); a picture of that size is taken for a face.

    Returns:
        The images, in the order s1/1, s1/2, … s2/1, … (numbers by value), and their labels.

    Raises:
        BadDataset: nothing is there, or it holds too few people, or its arrays are not what they should be.
        BadImage: a picture in the folder cannot be read; the message names it.
        NoFaceFound: a photograph shows no face.
        MissingLibrary: a picture needs OpenCV, which is not installed.
    """
    text, path = fspath(source), Path(source)
    if not text:
        raise BadDataset(f"an empty name is no data: give a folder, an .npz file or one of {', '.join(NAMES)}")
    if text == "orl":
        found = _orl()
    elif text in NAMES:
        drawn = generated_faces(
            people=40, per_person=10, size=image_size or (112, 92), seed=0, difficulty="normal", color=False
        )
        found = _dataset(drawn.images, drawn.labels, "generated faces: 40 people, 10 images each, seed 0")
    elif path.is_dir():
        found = _folder(path, image_size, photographs)
    elif path.suffix == ".npz" and path.is_file():
        found = _npz(path)
    else:
        what = "is neither a folder nor an .npz file" if path.exists() else "does not exist"
        raise BadDataset(
            f"{text} {what}: give a folder of person/*.jpg, an .npz file with images and labels, "
            f"or one of the names {', '.join(NAMES)}"
        )
    if len(found.names) < min_people:
        raise BadDataset(
            f"{text} shows {'one person' if len(found.names) == 1 else f'{len(found.names)} people'}, "
            f"but at least {min_people} are needed: add images of somebody else"
        )
    if image_size is not None and found.images.shape[1:] != tuple(image_size):
        resized = np.stack([resize(image, image_size) for image in found.images])
        found = FaceDataset(resized, found.labels, found.names, found.description)
    return found


def user_folder() -> Path:
    """Where downloaded data is kept: $XDG_DATA_HOME/minidl, or ~/.local/share/minidl."""
    home = os.environ.get("XDG_DATA_HOME", "")
    return (Path(home) if home else Path.home() / ".local" / "share") / "minidl"


def _dataset(images: Array, labels: Array, description: str, names: Sequence[str] | None = None) -> FaceDataset:
    labels = np.asarray(labels)
    if labels.dtype.kind in "iu":
        labels = labels.astype(np.int64)
    named = list(names) if names is not None else [str(person) for person in people(labels)]
    return FaceDataset(np.ascontiguousarray(images, np.uint8), labels, named, description)


# ── ORL ───────────────────────────────────────────────────────────────────────────────────────────


def _orl() -> FaceDataset:
    given = os.environ.get("MINIDL_DATA", "")
    for folder in ([Path(given)] if given else []) + [user_folder()]:
        if (folder / "orl.npz").is_file():
            found = _npz(folder / "orl.npz")
        elif (folder / "orl" / "s1").is_dir():
            found = _folder(folder / "orl", None)
        else:
            continue
        if found.images.shape != (400, 112, 92) or np.bincount(found.codes).tolist() != [10] * 40:
            raise BadDataset(
                f"what {folder} holds as ORL has images of shape {found.images.shape} and {len(found.names)} "
                "people, expected (400, 112, 92) and 40 people of ten images: delete it and run "
                "`minidl faces download orl`"
            )
        credit = "ORL, the AT&T Laboratories Cambridge Database of Faces: 40 people, 10 images each"
        return _dataset(found.images, found.codes, credit, [f"s{k + 1}" for k in range(40)])
    raise BadDataset(
        "the ORL faces are not here: run `minidl faces download orl`, or set MINIDL_DATA to a folder that "
        "holds orl.npz or orl/s1/1.pgm"
    )


# ── a folder ──────────────────────────────────────────────────────────────────────────────────────


def _visible(folder: Path) -> list[Path]:
    """What a person sees in the folder, in natural order."""
    try:
        found = {entry.name: entry for entry in folder.iterdir() if not entry.name.startswith(".")}
    except OSError as error:
        raise BadDataset(f"{folder} cannot be listed ({error.strerror}): check its permissions") from error
    return [found[name] for name in natural_order(list(found))]


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def _folder(root: Path, image_size: Size | None, photographs: bool = False) -> FaceDataset:
    entries = _visible(root)
    persons = [entry for entry in entries if entry.is_dir()]
    if loose := [entry for entry in entries if _is_picture(entry)]:
        raise BadDataset(
            f"{loose[0]} belongs to nobody: every picture lies in a folder named after its person, as in "
            f"{root / 'ann' / loose[0].name}"
        )
    if not persons:
        raise BadDataset(f"{root} holds no folder of a person: make one a person and put the pictures in it")
    images: list[NDArray[np.uint8]] = []
    labels: list[str] = []
    for person in persons:
        inside = _visible(person)
        if deeper := [entry for entry in inside if entry.is_dir()]:
            raise BadDataset(f"{deeper[0]} is a folder inside a person's folder: put the pictures in {person} itself")
        pictures = [entry for entry in inside if _is_picture(entry)]
        if not pictures:
            raise BadDataset(
                f"{person} holds no picture ({', '.join(sorted(SUFFIXES))}): add some or remove the folder"
            )
        for picture in pictures:
            if photographs:
                image = stack_of_faces(picture, image_size or SIZE)[0]
            else:
                image = read_image(picture)
                image = resize(image, image_size) if image_size is not None else image
            if images and image.shape != images[0].shape:
                raise BadDataset(
                    f"{picture} has {image.shape[0]}×{image.shape[1]} pixels (rows × columns), but those "
                    f"before it have {images[0].shape[0]}×{images[0].shape[1]}: give an image_size"
                )
            images.append(image)
            labels.append(person.name)
    return _dataset(np.stack(images), np.array(labels), f"{root}: {len(persons)} people, {len(images)} images")


# ── an .npz file ──────────────────────────────────────────────────────────────────────────────────


def _npz(path: Path) -> FaceDataset:
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MOST_BYTES:
            raise BadDataset(
                f"{path} would unpack to {unpacked / 1e9:.1f} GB, and the limit is {MOST_BYTES / 1e9:.0f} "
                "GB: store fewer or smaller images"
            )
        with np.load(path, allow_pickle=False) as arrays:
            if missing := [key for key in ("images", "labels") if key not in arrays.files]:
                raise BadDataset(
                    f"{path} has no array named {' or '.join(missing)} (it has "
                    f"{', '.join(arrays.files) or 'none'}): "
                    "store it by np.savez(path, images=images, labels=labels)"
                )
            images, labels = arrays["images"], arrays["labels"]
    except BadDataset:
        raise
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        MemoryError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        reason = (
            "it holds Python objects, which are never loaded"
            if "allow_pickle" in str(error)
            else "it is damaged or cut off"
        )
        raise BadDataset(
            f"{path} cannot be read: {reason}; store it again by np.savez(path, images=images, labels=labels)"
        ) from error
    return _dataset(*_checked(path, images, labels), f"{path}: {len(images)} images")


def _checked(path: Path, images: Array, labels: Array) -> tuple[Array, Array]:
    if images.dtype != np.uint8:
        hint = "multiply values in 0..1 by 255 and " if images.dtype.kind == "f" else ""
        raise BadDataset(
            f"the images in {path} are {images.dtype}, but must be uint8 (0 to 255): {hint}store them as uint8"
        )
    if not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)) or not images.size:
        raise BadDataset(
            f"the images in {path} have shape {images.shape}, but must be (n, h, w) or (n, h, w, 3), and not empty"
        )
    if labels.shape != (len(images),):
        raise BadDataset(
            f"{path} has {len(images)} images but labels of shape {labels.shape}: "
            f"there must be one label an image, that is shape ({len(images)},)"
        )
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8")
    if labels.dtype.kind not in "iuU":
        raise BadDataset(f"the labels in {path} are {labels.dtype}, but must be integers or strings")
    if images.ndim == 4:
        images = np.stack([to_grey(image) for image in images])
    return images, labels
