"""What can go wrong with faces: every error is one sentence that says what to do."""

from __future__ import annotations


class FaceError(ValueError):
    """The base of every error of the recognizer: its message is one sentence that a user can act on."""


class BadImage(FaceError):
    """A file or an array is not a picture that can be used."""


class BadDataset(FaceError):
    """A data set cannot be found or read, or has too few people or pictures for the purpose."""


class BadScores(FaceError):
    """Labels or similarity scores from which no figure can be computed."""


class BadModelFile(FaceError):
    """A stored model is damaged, truncated or made by something else."""


class BadGallery(FaceError):
    """A gallery is damaged, truncated, made by something else or with another model, or cannot be written."""


class WrongPassphrase(BadGallery):
    """A gallery is sealed by another passphrase."""


class PassphraseNeeded(BadGallery):
    """A gallery is sealed, and no passphrase was given."""


class UnknownPerson(FaceError):
    """Nobody of this name is enrolled."""


class NoFaceFound(FaceError):
    """No face was found in a photograph."""


class NotFitted(FaceError):
    """A recognizer was asked before it was fitted."""


class DownloadFailed(FaceError):
    """A download did not arrive whole and verified; what was stored before is untouched."""


class MissingLibrary(FaceError, ImportError):
    """An optional library is needed for this and is not installed."""
