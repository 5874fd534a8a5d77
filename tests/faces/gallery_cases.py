"""What the tests of the gallery share: embeddings that are all different, and all the bytes of a gallery."""

from pathlib import Path

import numpy as np

MODEL = "the model of the tests"


def embeddings(n, seed=0, dimension=32):
    """(n, dimension) float32 rows of length 1, at random."""
    rows = np.random.default_rng([seed, n, dimension]).standard_normal((n, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def bytes_of(path):
    """Everything in the files of a gallery: the database, its log and the index of the log."""
    return b"".join(Path(f"{path}{end}").read_bytes() for end in ("", "-wal", "-shm") if Path(f"{path}{end}").exists())


def traces(data, rows):
    """How many of the rows have left 31 or more of their bytes in a row in the data."""
    texts = [row.tobytes() for row in rows]
    return sum(any(text[i : i + 16] in data for i in range(0, len(text) - 15, 16)) for text in texts)
