"""Reading pictures: files of any usual kind, and one line for whatever is none."""

import io
import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from digits_jax import recognition
from digits_jax.recognition import look, pictures, read, reader


@pytest.fixture(scope="module")
def seven():
    """A 7 in pen on light paper."""
    image = Image.new("L", (120, 160), 230)
    ImageDraw.Draw(image).line([(30, 30), (90, 30), (50, 130)], 40, 10, "curve")
    return image


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def text(content):
    return recognition.as_text(recognition.recognise(content))


def variants(image):
    """The same drawing as many files: (name, bytes)."""
    levels = np.asarray(image)
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM"):
        yield kind, encoded(image, kind)
    for mode in ("RGB", "RGBA", "P", "LA"):
        yield f"PNG of mode {mode}", encoded(image.convert(mode), "PNG")
    black_and_white = image.convert("1", dither=Image.Dither.NONE)
    yield "1 bit", encoded(black_and_white, "PNG")
    yield "CMYK", encoded(image.convert("CMYK"), "JPEG")
    yield "16 bits", encoded(Image.fromarray(levels.astype(np.uint16) * 257), "PNG")
    yield "floating point", encoded(Image.fromarray(levels.astype(np.float32)), "TIFF")
    clear = Image.new("LA", image.size, 0)
    clear.putalpha(image.point(lambda level: 255 - level))
    yield "ink on nothing", encoded(clear, "PNG")
    yield "inverted", encoded(image.point(lambda level: 255 - level), "PNG")
    turned = Image.Exif()
    turned[0x0112] = 6  # to be seen, it is turned by 90 degrees
    yield "EXIF rotation", encoded(image.rotate(90, expand=True), "JPEG", exif=turned)


def test_every_usual_kind_of_file_reads_the_same(seven):
    assert {name: text(content) for name, content in variants(seven)} == {
        name: "7" for name, _ in variants(seven)
    }


def bomb(width, height):
    """A PNG that says it is so large, in a few bytes."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def animated(image):
    frames = [image, image.rotate(5)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


BAD = {
    "text": (lambda _: b"4 7 1 1\n", "not a picture"),
    "nothing": (lambda _: b"", "0 bytes"),
    "bomb": (lambda _: bomb(50_000, 50_000), "more than 50,000,000 pixels"),
    "just too large": (lambda _: bomb(10_001, 5_000), "more than 50,000,000 pixels"),
    "truncated": (lambda image: encoded(image, "JPEG")[:-200], "truncated"),
    "animated": (animated, "2 pictures in one file"),
    "one pixel": (lambda _: encoded(Image.new("L", (1, 1)), "PNG"), "too few"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture_says_why_in_one_line(seven, name):
    make, message = BAD[name]
    with pytest.raises(ValueError, match=message) as error:
        read(make(seven))
    assert "\n" not in str(error.value)


def test_ink_and_paper_of_one_grey_and_two_hues(seven):
    ink = np.asarray(seven)[..., None] < 128
    image = np.where(ink, (200, 60, 60), (50, 125, 110)).astype(np.uint8)  # both 101 grey
    assert abs(float(np.ptp(np.asarray(Image.fromarray(image).convert("L"))))) <= 2
    assert text(encoded(Image.fromarray(image), "PNG")) == "7"


@pytest.mark.parametrize("colour", [0, 255, 90])
def test_bold_ink_on_nothing_cropped_tightly(colour):
    alpha = Image.new("L", (90, 130))
    ImageDraw.Draw(alpha).line([(12, 14), (72, 14), (40, 124)], 255, 28, "curve")
    image = Image.new("LA", alpha.size, colour)
    image.putalpha(alpha)
    assert text(encoded(image, "PNG")) == "7"


def test_white_on_black_with_an_alpha_that_hides_nothing(seven):
    image = seven.point(lambda level: 255 if level < 128 else 0).convert("RGBA")
    assert text(encoded(image, "PNG")) == "7"


@pytest.mark.parametrize("size", [(400_000, 8), (8, 400_000), (1000, 1000), (3000, 3000)])
def test_long_and_noisy_pictures_are_bounded(size):
    rng = np.random.default_rng(0)
    levels = (
        rng.integers(0, 256, size[::-1], np.uint8)
        if size[0] == 1000
        else np.zeros(size[::-1], np.uint8)
    )
    tracemalloc.start()
    try:
        assert_answers(encoded(Image.fromarray(levels), "PNG"))
        assert tracemalloc.get_traced_memory()[1] < 400e6
    finally:
        tracemalloc.stop()


def test_names_cannot_steer_a_terminal(tmp_path):
    for name in ("a\x1b[31m\nb.png", os.fsdecode(b"\xff.png")):
        (seen,) = look([str(tmp_path / name)], reader())
        assert seen.error.isprintable()
        assert seen.error.endswith("no such file")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match="a folder"):
        read(tmp_path)
    with pytest.raises(ValueError, match="no such file"):
        read(tmp_path / "nowhere.png")


@pytest.mark.parametrize("level", [255, 0, 128])
def test_an_empty_picture_holds_no_digit(tmp_path, level):
    path = tmp_path / "empty.png"
    Image.new("L", (300, 200), level).save(path)
    (seen,) = look([str(path)], reader())
    assert seen.digits == []
    assert seen.error == f"{path}: no digit found"


def answers(function, content):
    """What there is of an answer; else there is one line."""
    try:
        return function(content)
    except ValueError as error:
        return "\n" in str(error) and pytest.fail(str(error))


def assert_answers(content):
    for digit in answers(recognition.recognise, content) or []:
        assert digit.label in set("0123456789?")
        assert digit.image.shape == (28, 28)


MAGIC = [b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a", b"II*\0"]


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(MAGIC))
def test_random_bytes(content, magic):
    assert_answers(magic + content)


def test_every_truncation_of_a_small_jpeg(seven):
    content = encoded(seven.resize((30, 40)), "JPEG", quality=40)
    for length in range(len(content) - 1):
        answers(read, content[:length])


@pytest.mark.parametrize(
    "seed", [n if n < 2 else pytest.param(n, marks=pytest.mark.slow) for n in range(8)]
)
def test_random_crops_and_noise(seven, seed):
    rng = np.random.default_rng(seed)
    levels = np.tile(np.asarray(seven), (2, 3))
    h, w = rng.integers(8, 150, 2)
    y, x = rng.integers(0, 300 - h), rng.integers(0, 340 - w)
    crop = levels[y : y + h, x : x + w]
    assert_answers(encoded(Image.fromarray(crop), "PNG"))
    assert_answers(encoded(Image.fromarray(rng.integers(0, 256, (h, w), np.uint8)), "PNG"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
def test_damaged_files(seven, kind):
    content = np.frombuffer(encoded(seven, kind), np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = content.copy()
        damaged[rng.integers(0, len(content), 5)] = rng.integers(0, 256, 5)
        assert_answers(damaged.tobytes())


def test_standard_input(seven, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(encoded(seven, "PNG"))))
    assert text(pictures.STDIN) == "7"
