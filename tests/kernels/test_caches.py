"""The sizes of caches: read where they are listed, the usual ones where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

caches = pytest.importorskip("minidl.kernels.cpu.caches", reason="kernels are compiled by Numba")


def listed(folder: Path, *rows: tuple[str, str, str]) -> Path:
    for i, row in enumerate(rows):
        (folder / f"index{i}").mkdir()
        for name, text in zip(("level", "type", "size"), row, strict=True):
            (folder / f"index{i}" / name).write_text(text + "\n")
    return folder


def test_data_and_unified_caches_are_read_and_code_is_passed_over(tmp_path: Path) -> None:
    rows = ("1", "Instruction", "64K"), ("1", "Data", "48K"), ("2", "Unified", "2M"), ("3", "Unified", "32M")
    folder = listed(tmp_path, *rows)
    assert caches.bytes_of(1, folder) == 48 * 1024
    assert caches.bytes_of(2, folder) == 2 * 1024**2


@pytest.mark.parametrize("size", ["", "?", "12 apples", "K"])
def test_what_cannot_be_read_is_taken_as_usual(size: str, tmp_path: Path) -> None:
    assert caches.bytes_of(2, tmp_path / "nowhere") == 1024**2
    assert caches.bytes_of(1, listed(tmp_path, ("1", "Data", size))) == 32 * 1024


@pytest.mark.parametrize(("size", "believed"), [("0K", 256 * 1024), ("512K", 512 * 1024), ("500M", 4 * 1024**2)])
def test_sizes_that_no_such_cache_has_are_cut(size: str, believed: int, tmp_path: Path) -> None:
    assert caches.bytes_of(2, listed(tmp_path, ("2", "Unified", size))) == believed
