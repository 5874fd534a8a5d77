"""Image files of every kind become uint8 pixels, or one sentence that names the file."""

import struct
import subprocess
import sys
import zlib
from contextlib import suppress

import numpy as np
import pytest

from minidl.faces import images
from minidl.faces.errors import BadImage
from minidl.faces.image_headers import read_header
from minidl.faces.images import decode_image, read_image, resize, to_grey


def _scene(h=40, w=30):
    """Red at the left, green below, blue at the right: every turn and swap of colours shows."""
    y, x = np.mgrid[0:h, 0:w]
    return np.stack([255 - 255 * x // (w - 1), 255 * y // (h - 1), 255 * x // (w - 1)], 2).astype(np.uint8)


def _encoded(suffix, pixels):
    cv2 = pytest.importorskip("cv2", reason="encoding pictures needs OpenCV")
    ok, data = cv2.imencode(suffix, pixels[..., ::-1] if pixels.ndim == 3 and pixels.shape[2] == 3 else pixels)
    assert ok
    return data.tobytes()


LOSSLESS = (".png", ".bmp", ".ppm", ".tiff")
ALL = (*LOSSLESS, ".jpg", ".webp", ".gif")


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_lossless_colour_comes_back_to_the_bit_as_red_green_blue(suffix):
    assert np.array_equal(decode_image(_encoded(suffix, _scene()), color=True), _scene())


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_colour_comes_back_nearly(suffix):
    found = decode_image(_encoded(suffix, _scene()), color=True)
    assert np.abs(found.astype(int) - _scene()).mean() < 6


@pytest.mark.parametrize("suffix", ALL)
def test_grey_is_the_brightness(suffix):
    found = decode_image(_encoded(suffix, _scene()))
    assert found.shape == (40, 30)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - to_grey(_scene())).mean() < 10  # gif dithers its 256 colours


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".pgm", ".tiff"])
def test_grey_files_come_back_to_the_bit(suffix):
    grey = _scene()[..., 1]
    assert np.array_equal(decode_image(_encoded(suffix, grey)), grey)
    assert np.array_equal(decode_image(_encoded(suffix, grey), color=True), np.repeat(grey[..., None], 3, 2))


@pytest.mark.parametrize("suffix", ALL)
def test_the_header_knows_the_size_without_decoding(suffix):
    header = read_header(_encoded(suffix, _scene()))
    assert (header.width, header.height, header.whole) == (30, 40, True)


@pytest.mark.parametrize("suffix", [".png", ".pgm", ".tiff"])
def test_sixteen_bits_become_eight(suffix):
    levels = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    assert decode_image(_encoded(suffix, levels)).tolist() == [[0, 1, 128, 255]]


def test_the_transparent_lies_on_white():
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, :, 3] = 255
    pixels[1, 0, 3] = 51
    assert decode_image(_encoded(".png", pixels)).tolist() == [[0, 0], [204, 255]]


def _with_orientation(jpeg, turn):
    exif = b"Exif\0\0II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, turn, 0, 0)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


@pytest.mark.parametrize(
    ("turn", "upright"),
    [
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        (6, lambda x: np.rot90(x, -1)),
        (8, lambda x: np.rot90(x, 1)),
    ],
)
def test_the_turn_noted_by_the_camera_is_applied(turn, upright):
    found = decode_image(_with_orientation(_encoded(".jpg", _scene()), turn), color=True)
    expected = upright(_scene())
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 6


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"P5\n# a comment\n3 1\n255\n\x00\x07\xff", [[0, 7, 255]]),
        (b"P5 2 1 100\n\x00\x64", [[0, 255]]),
        (b"P5 2 1 4095\n\x00\x00\x0f\xff", [[0, 255]]),
        (b"P2 3 1 15\n0 15 3\n", [[0, 255, 51]]),
        (b"P1 3 1\n1 0 1", [[0, 255, 0]]),
        (b"P1\n3 2\n101010", [[0, 255, 0], [255, 0, 255]]),
        (b"P4 9 1\n\x80\x80", [[0, 255, 255, 255, 255, 255, 255, 255, 0]]),
    ],
)
def test_portable_maps_need_no_library(data, expected):
    assert decode_image(data).tolist() == expected


def test_portable_pixmaps_keep_their_colours():
    assert decode_image(b"P6 1 1 255\n\x01\x02\x03", color=True).tolist() == [[[1, 2, 3]]]
    assert decode_image(b"P3 1 1 10  10 0 5", color=True).tolist() == [[[255, 0, 128]]]


def test_paths_in_any_script(tmp_path):
    path = tmp_path / "人脸 été" / "ñ 1.png"
    path.parent.mkdir()
    path.write_bytes(_encoded(".png", _scene()))
    assert np.array_equal(read_image(path, color=True), _scene())
    assert read_image(str(path)).shape == (40, 30)


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("suffix", [*ALL, ".pgm"])
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.97])
def test_a_file_cut_off_is_refused_and_nothing_is_printed(suffix, kept, capfd):
    pixels = _scene()[..., 0] if suffix == ".pgm" else _scene()
    data = _encoded(suffix, pixels)
    with pytest.raises(BadImage, match="photo"):
        decode_image(data[: int(len(data) * kept)], "photo")
    assert capfd.readouterr() == ("", "")


def _png_bomb(width, height):
    """A whole png file whose header claims far more pixels than its few bytes hold."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "bomb",
    [
        _png_bomb(10_000, 10_000),
        b"P5 10000 10000 255\n",
        b"GIF89a" + struct.pack("<HH", 10_000, 10_000) + bytes(20),
        b"BM" + bytes(12) + struct.pack("<Iii", 40, 10_000, -10_000) + bytes(40),
        b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<IB3x", 10, 0) + b"\x0f\x27\x00" * 2,
        b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 8, 8, 10_000, 10_000, 0) + b"\xff\xda\x00\x02\xff\xd9",
        b"II*\0" + struct.pack("<IHHHIIHHII", 8, 2, 256, 4, 1, 10_000, 257, 4, 1, 10_000),
    ],
    ids=["png", "pgm", "gif", "bmp", "webp", "jpeg", "tiff"],
)
def test_a_hundred_megapixels_are_refused_before_decoding(bomb, monkeypatch):
    monkeypatch.setattr(images, "_decoded", lambda *_: pytest.fail("the bomb was decoded"))
    monkeypatch.setattr(images, "_samples", lambda *_: pytest.fail("the bomb was decoded"))
    with pytest.raises(BadImage, match=r"10000×10000 pixels \(100 megapixels\), and the limit is 50"):
        decode_image(bomb)


def test_a_thumbnail_inside_a_jpeg_does_not_set_its_size():
    small = _encoded(".jpg", _scene(8, 8))
    jpeg = _encoded(".jpg", _scene())
    nested = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(small) + 2) + small + jpeg[2:]
    assert (read_header(nested).width, read_header(nested).height) == (30, 40)
    # The end mark of the thumbnail is not the end of the picture.
    assert not read_header(nested[:-40]).whole


@pytest.mark.parametrize(
    "data",
    [b"hello world", b"\x00" * 100, b"P9 1 1 1 1", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFFxxxxWAVE"],
)
def test_what_is_no_image_is_named(data):
    with pytest.raises(BadImage, match=r"notes\.png is not an image"):
        decode_image(data, "notes.png")


def test_missing_empty_folder_and_oversized_files(tmp_path, monkeypatch):
    empty = tmp_path / "empty.png"
    empty.touch()
    with pytest.raises(BadImage, match=r"empty\.png is empty"):
        read_image(empty)
    with pytest.raises(BadImage, match=r"none\.png does not exist"):
        read_image(tmp_path / "none.png")
    with pytest.raises(BadImage, match="is a folder"):
        read_image(tmp_path)
    empty.write_bytes(bytes(2_000))
    monkeypatch.setattr(images, "MOST_BYTES", 1_000)
    with pytest.raises(BadImage, match="and the limit is"):
        read_image(empty)


@pytest.mark.parametrize("suffix", ALL)
def test_damaged_bytes_give_pixels_or_a_sentence_but_never_another_error(suffix):
    data = bytearray(_encoded(suffix, _scene()))
    rng = np.random.default_rng(0)
    for _ in range(25):
        broken = data.copy()
        for at in rng.integers(0, len(data), 3):
            broken[at] = rng.integers(256)
        with suppress(BadImage):
            pixels = decode_image(bytes(broken))
            assert pixels.dtype == np.uint8
            assert pixels.ndim == 2


def test_pixels_of_other_types_are_refused():
    with pytest.raises(BadImage, match="it is float64"):
        to_grey(np.zeros((2, 2, 3)))
    with pytest.raises(BadImage, match="float32 numbers"):
        decode_image(_encoded(".tiff", np.zeros((4, 4), np.float32)))


# ── resizing ──────────────────────────────────────────────────────────────────────────────────────


def test_shrinking_takes_the_mean_of_areas():
    pytest.importorskip("cv2", reason="resizing needs OpenCV")
    x = np.random.default_rng(0).integers(0, 256, (112, 92), dtype=np.uint8)
    expected = x.reshape(56, 2, 46, 2).mean((1, 3))
    assert np.abs(resize(x, (56, 46)) - expected).max() <= 0.5


def test_the_middle_is_kept_and_nothing_is_stretched():
    pytest.importorskip("cv2", reason="resizing needs OpenCV")
    wide = np.zeros((20, 60), np.uint8)
    wide[:, 20:40] = 255
    assert (resize(wide, (10, 10)) == 255).all()
    assert (resize(wide.T, (10, 10)) == 255).all()
    assert resize(wide, (40, 40)).shape == (40, 40)


def test_the_same_size_is_the_same_image():
    assert np.array_equal(resize(_scene(), (40, 30)), _scene())
    with pytest.raises(BadImage, match="cannot become 0×5"):
        resize(_scene(), (0, 5))


def test_grey_stays_grey_and_white_stays_white():
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)[None]
    assert np.array_equal(to_grey(levels)[0], np.arange(256))


def test_opencv_is_imported_only_when_needed():
    code = (
        "import sys; from minidl.faces.images import decode_image; "
        "decode_image(b'P5 1 1 255\\n\\x07'); assert 'cv2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ── animated files, arrays, writing ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_of_an_animated_file_the_first_frame_counts(suffix):
    cv2 = pytest.importorskip("cv2", reason="encoding pictures needs OpenCV")
    if not hasattr(cv2, "imencodeanimation"):
        pytest.skip(f"OpenCV {cv2.__version__} cannot write animations")
    animation = cv2.Animation()
    animation.frames = [np.full((20, 30, 3), level, np.uint8) for level in (40, 200, 90)]
    animation.durations = [100] * 3
    ok, data = cv2.imencodeanimation(suffix, animation)
    assert ok
    found = decode_image(data.tobytes())
    assert found.shape == (20, 30)
    assert abs(found.mean() - 40) < 6  # gif dithers its colours


@pytest.mark.parametrize("pixels", [_scene(), _scene()[..., 1], _scene(3, 7)])
def test_a_png_of_ours_is_read_back_to_the_bit(pixels):
    data = images.encode_png(pixels)
    assert read_header(data)[:4] == ("png", pixels.shape[1], pixels.shape[0], True)
    pytest.importorskip("cv2", reason="reading png needs OpenCV")
    assert np.array_equal(decode_image(data, color=pixels.ndim == 3), pixels)


def test_a_png_is_made_of_pixels_only():
    with pytest.raises(BadImage, match=r"float64 of shape \(2, 2\)"):
        images.encode_png(np.zeros((2, 2)))


def test_arrays_of_every_depth_become_uint8():
    levels = np.array([[0, 128, 255]], np.uint8)
    for made in (levels, levels.astype(np.uint16) * 257, levels / 255, levels[..., None]):
        assert images.pixels_of(made).tolist() == levels.tolist()
    half = np.dstack([np.zeros((1, 1, 3), np.uint8), np.full((1, 1), 51, np.uint8)])
    assert images.pixels_of(half).tolist() == [[[204, 204, 204]]], "the transparent lies on white"
