"""What can go wrong with stored files: every error is one sentence that says what to do."""

from __future__ import annotations


class BadFile(ValueError):
    """A stored file is damaged, cut short, of another format, or made by a newer version."""


class Mismatch(ValueError):
    """A stored file is whole, but does not hold what it is asked for."""
