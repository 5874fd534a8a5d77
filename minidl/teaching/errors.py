"""What can be wrong with a lesson, an answer or a command about them."""

from __future__ import annotations


class LessonError(ValueError):
    """A lesson, its text or a request about it that makes no sense; the message is one sentence."""
