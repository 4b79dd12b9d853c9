"""From pictures to digits: the shipped networks, MNIST's images, pages that are drawn here."""

import csv
import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import digits_jax
from digits_jax import data, recognition
from digits_jax.recognition import readers
from digits_jax.recognition.certainty import auroc, certainty, threshold
from digits_jax.recognition.recognise import as_mnist, read_digits
from digits_jax.runs import model_file
from experiments.recognition import non_digits
from experiments.recognition.scoring import edit_distance, read_labels, score

HANDWRITING = Path(__file__).parents[3] / "shared" / "data" / "handwriting" / "dev"
# Errors in the 10,000 test images, as the cards say.
ERRORS = {"cnn": 50, "classic": 623}


@pytest.fixture(scope="module")
def test_split():
    return data.load(train_size=1, validation_size=0).test


@pytest.mark.parametrize("name", ERRORS)
def test_shipped_networks_make_the_recorded_errors(test_split, name):
    images, labels = test_split
    model = model_file.load(recognition.shipped(name))
    predicted = recognition.probabilities(model, images).argmax(1)
    assert abs(int((predicted != labels).sum()) - ERRORS[name]) <= 2
    card = readers.MODELS.joinpath(f"{name}.md").read_text()
    assert f"{ERRORS[name]} errors in 10,000 images" in card


def test_cards_name_the_file_that_is_there():
    for name in ERRORS:
        digest = hashlib.sha256(recognition.shipped(name).read_bytes()).hexdigest()
        assert digest in recognition.shipped(name).with_suffix(".md").read_text()
    assert sum(path.stat().st_size for path in readers.MODELS.iterdir()) < 1_000_000


def test_an_unknown_network():
    with pytest.raises(ValueError, match="model=resnet: expected classic or cnn"):
        recognition.shipped("resnet")


def as_model(images):
    """The answers of the network alone."""
    return recognition.reader().evidence(images).logits.argmax(1)


def test_images_of_mnist_pass_unchanged(test_split):
    images = test_split.images[:100]
    expected = as_model(images)
    for image, label in zip(images, expected, strict=True):
        (digit,) = read_digits(image / 255, recognition.reader())
        assert (digit.image == image).all()
        assert digit.label == str(label)


@pytest.mark.slow
def test_all_images_of_mnist_pass_unchanged(test_split):
    for image in test_split.images:
        assert (as_mnist(image / 255) == image).all()
        assert (as_mnist(1 - image / 255) == image).all()


def enlarged(image):
    return np.asarray(Image.fromarray(image).resize((280, 280), Image.Resampling.BICUBIC)) / 255


def sheet(images, pixels=8):
    """Twenty images framed in a sheet, dark on light."""
    ground = np.zeros((4 * 28 + 2 * pixels, 5 * 28 + 2 * pixels), np.uint8)
    for j, image in enumerate(images):
        y, x = pixels + j // 5 * 28, pixels + j % 5 * 28
        ground[y : y + 28, x : x + 28] = image
    return 1 - np.kron(ground, np.ones((4, 4))) / 255


def compressed(grey):
    file = io.BytesIO()
    Image.fromarray(np.round(grey * 255).astype(np.uint8)).save(file, "JPEG", quality=30)
    return np.asarray(Image.open(file).convert("L")) / 255


CHANGES = {
    "inverted": lambda image: 1 - np.pad(image, 1) / 255,
    "shifted by 6": lambda image: np.roll(np.pad(image, 6), (6, -6), (0, 1)) / 255,
    "enlarged": enlarged,
    "JPEG at quality 30": lambda image: compressed(enlarged(image)),
}


def likeliest(picture):
    return "".join(
        str(d.probabilities.argmax()) for d in read_digits(picture, recognition.reader())
    )


def changed_answers(images, change):
    """What the same images are read as when they are changed."""
    return [likeliest(change(image)) for image in images]


@pytest.mark.parametrize("change", CHANGES)
def test_changes_that_do_not_matter_change_hardly_an_answer(test_split, change):
    images = test_split.images[:30]
    read = changed_answers(images, CHANGES[change])
    assert np.mean([a != str(b) for a, b in zip(read, as_model(images), strict=True)]) <= 1 / 30


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_changes_that_do_not_matter_cost_little(test_split, change):
    images, labels = (part[:400] for part in test_split)
    read = changed_answers(images, CHANGES[change])
    right = np.mean([a == str(b) for a, b in zip(read, labels, strict=True)])
    assert right >= np.mean(as_model(images) == labels) - 0.003


@pytest.mark.slow
def test_twenty_in_a_sheet(test_split):
    images, labels = (part[:400] for part in test_split)
    lost = 0
    for start in range(0, 400, 20):
        read = likeliest(sheet(images[start : start + 20]))
        expected = "".join(map(str, labels[start : start + 20]))
        lost += edit_distance(read, expected)
    assert lost / 400 <= np.mean(as_model(images) != labels) + 0.003


@pytest.mark.parametrize("index", [59, 175, 245, 1131, 1191])
def test_the_pieces_of_a_broken_or_wide_digit_are_one(test_split, index):
    assert likeliest(enlarged(test_split.images[index])) == str(test_split.labels[index])


@pytest.mark.parametrize("gap", [2, 4])
def test_digits_near_each_other_stay_two(test_split, gap):
    close = [image[:, np.flatnonzero(image.any(0))] for image in test_split.images[:12]]
    for k in range(0, 12, 2):
        pair = np.pad(np.hstack([close[k], np.zeros((28, gap), np.uint8), close[k + 1]]), 6)
        large = np.kron(pair, np.ones((5, 5))) / 255
        assert len(likeliest(large)) == 2


def written(text):
    """Text in a font that matplotlib brings."""
    from matplotlib import font_manager

    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 48)
    image = Image.new("L", (620, 200), 235)
    ImageDraw.Draw(image).multiline_text((30, 20), text, 30, font, spacing=30)
    return np.asarray(image) / 255


def test_letters_are_doubted_more_than_digits():
    read = recognition.as_text(read_digits(written("0123456789\n9876543210"), recognition.reader()))
    assert read == "0 1 2 3 4 5 6 7 8 9 / 9 8 7 6 5 4 3 2 1 0"
    letters = read_digits(written("WE MEET AT NOON\nBRING HER KEYS"), recognition.reader())
    assert np.mean([d.label == "?" for d in letters]) >= 0.6


def test_pages_that_are_drawn_and_photographed_here(test_split, page, paper):
    images, labels = (part[40:52] for part in test_split)
    angle = 0.0 if paper in ("table", "boxes") else 3.0
    picture = page(images, 3, 4, paper, angle=angle)
    digits = read_digits(picture, recognition.reader())
    read = "".join(str(d.probabilities.argmax()) for d in digits)
    assert edit_distance(read, "".join(map(str, labels))) <= 1
    assert max(d.line for d in digits) == 2


def noted(picture):
    seen = Image.fromarray(np.round(255 * picture).astype(np.uint8))
    file = io.BytesIO()
    seen.save(file, "PNG")
    digits = digits_jax.recognise(file.getvalue())
    return "".join(d.label for d in digits)


def test_a_sheet_on_a_dark_table_is_read(test_split, page):
    images, labels = (part[40:46] for part in test_split)
    photo = np.pad(page(images, 2, 3, "plain", angle=0), 90, constant_values=0.2)
    assert edit_distance(noted(photo), "".join(map(str, labels))) <= 1


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_page_is_turned_back(test_split, page, turns):
    images, labels = (part[40:52] for part in test_split)
    picture = np.rot90(page(images, 3, 4, "plain", angle=0), turns)
    assert edit_distance(noted(picture), "".join(map(str, labels))) <= 1


def test_digits_that_touch_are_cut_where_the_reader_prefers(test_split):
    ones = [test_split.images[i] for i in np.flatnonzero(test_split.labels == 0)[:6]]
    close = [image[:, np.flatnonzero(image.any(0))] for image in ones]
    read = [
        likeliest(np.kron(np.pad(np.hstack(close[k : k + 2]), 8), np.ones((5, 5))) / 255)
        for k in (0, 2, 4)
    ]
    assert sum(text == "00" for text in read) >= 2


def test_boxes_lie_about_the_digits(test_split):
    picture = np.full((200, 300), 0.9)
    digit = enlarged(test_split.images[0])[::2, ::2]
    picture[30:170, 80:220] -= 0.7 * digit
    (found,) = read_digits(picture, recognition.reader())
    rows, columns = np.flatnonzero((digit > 0.5).any(1)), np.flatnonzero((digit > 0.5).any(0))
    left, top, width, height = found.box
    expected = 80 + columns[0], 30 + rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1
    np.testing.assert_allclose((left, top, width, height), expected, atol=5)


def test_what_is_no_digit_is_doubted_more_than_digits(test_split):
    reader = recognition.reader()
    digits = certainty(reader.evidence(test_split.images[:1000]), reader.means)
    refused = []
    for kind in non_digits.KINDS.values():
        images = non_digits.draw(kind, 60, test_split, seed=7)
        others = certainty(reader.evidence(images), reader.means)
        assert auroc(digits, others) > 0.95
        refused.append((others < reader.threshold).mean())
    assert np.mean(refused) >= 0.75
    assert (digits < reader.threshold).mean() <= 0.006


@pytest.mark.parametrize(("label", "kind"), non_digits.DIGITS.items())
def test_ones_with_a_flag_and_sevens_with_a_bar_are_told_apart(test_split, label, kind):
    images = non_digits.draw(kind, 100, test_split, seed=8)
    assert (recognition.reader().evidence(images).logits.argmax(1) == label).mean() >= 0.95


def test_area_under_the_curve_counts_pairs():
    digits, others = np.array([0.2, 0.5, 0.9]), np.array([0.1, 0.5])
    pairs = [(a > b) + 0.5 * (a == b) for a in digits for b in others]
    assert auroc(digits, others) == pytest.approx(np.mean(pairs))


def test_a_threshold_refuses_few_digits_and_nothing_in_vain():
    digits = np.linspace(0, 1, 1001)
    assert threshold(digits, np.full(10, -0.5), 0.01) == pytest.approx(0.01)
    assert threshold(digits, np.full(10, 2.0), 0.01) == -1


@pytest.mark.slow
@pytest.mark.skipif(not HANDWRITING.is_dir(), reason="pictures of shared/ are not here")
@pytest.mark.parametrize(("name", "errors"), [("cnn", 5), ("classic", 29)])
def test_handwriting_is_read_as_recorded(name, errors):
    rows = read_labels(HANDWRITING / "labels.csv")
    paths = [path for path, *_ in rows]
    scores, _ = score(rows, list(recognition.look(paths, recognition.reader(name))))
    assert scores["all"].errors <= errors
    assert name == "classic" or scores["canvas"].errors <= 1


@pytest.mark.skipif(not HANDWRITING.is_dir(), reason="pictures of shared/ are not here")
def test_some_handwriting():
    with open(HANDWRITING / "labels.csv", newline="") as file:
        truth = {row["file"]: row["digits"] for row in csv.DictReader(file)}
    for name in ("canvas_sheet_10.png", "lined_circled_24.jpg", "webcam_124510.jpg"):
        digits = digits_jax.recognise(HANDWRITING / name)
        assert "".join(d.label for d in digits) == truth[name]


def test_importing_the_package_imports_neither_scipy_nor_pillow():
    code = """
import json, sys, digits_jax
before = [name for name in ("PIL", "scipy.ndimage") if name in sys.modules]
digits_jax.recognise
print(json.dumps([before, "PIL" in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], True]
