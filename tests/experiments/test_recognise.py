"""experiments.recognise and python -m digits_jax: what they print, write, and say of bad input."""

import csv
import re

import numpy as np
import pytest
from PIL import Image, ImageDraw

from digits_jax import data
from experiments.recognition.scoring import edit_distance, outcomes

MODULE = "experiments.recognise"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Pictures: two lines of strokes, an image of MNIST, one blank, one that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    sheet = Image.new("RGB", (300, 330), (240, 235, 220))
    pen = ImageDraw.Draw(sheet)
    pen.line([(40, 30), (100, 30), (60, 130)], (30, 30, 90), 10, "curve")
    pen.line([(180, 30), (178, 130)], (30, 30, 90), 10)
    pen.ellipse((40, 190, 100, 290), outline=(30, 30, 90), width=10)
    sheet.save(folder / "sheet.jpg")
    Image.fromarray(data.load(train_size=1, validation_size=0).test.images[0]).save(
        folder / "mnist.png"
    )
    Image.new("L", (200, 100), 255).save(folder / "blank.png")
    (folder / "notes.txt").write_text("4 7 1 1")
    return folder


@pytest.fixture(scope="module")
def read(fork_module, pictures):
    """Everything at once: the process, and the text of the page and of the CSV."""
    names = ("sheet.jpg", "nowhere.png", "notes.txt", "mnist.png", "blank.png")
    files = [pictures / name for name in names]
    page, table = pictures / "seen.html", pictures / "digits.csv"
    process = fork_module(MODULE, *files, f"--page={page}", f"--csv={table}")
    return process, page.read_text(), list(csv.DictReader(table.read_text().splitlines()))


def test_a_line_a_picture_and_one_for_what_is_wrong(read, pictures):
    process, _, _ = read
    assert process.returncode == 1
    assert process.stdout == f"{pictures}/sheet.jpg\t7 1 / 0\n{pictures}/mnist.png\t7\n"
    wrong = process.stderr.splitlines()
    assert len(wrong) == 3
    assert wrong[0] == f"error: {pictures}/nowhere.png: no such file"
    assert wrong[1].startswith(f"error: {pictures}/notes.txt: not a picture")
    assert wrong[2] == f"error: {pictures}/blank.png: no digit found"


def test_the_table_has_a_row_a_digit(read, pictures):
    _, _, rows = read
    assert [(r["line"], r["position"], r["label"]) for r in rows] == [
        ("1", "1", "7"),
        ("1", "2", "1"),
        ("2", "1", "0"),
        ("1", "1", "7"),
    ]
    box = [float(rows[0][name]) for name in ("x", "y", "width", "height")]
    np.testing.assert_allclose(box, (37, 25, 66, 110), atol=9)
    assert 0.5 < float(rows[0]["probability"]) <= 1


def test_the_page_shows_every_step_and_asks_no_host(read):
    _, page, rows = read
    assert page.count("as found") >= len(rows)
    assert page.count("<h3") == len(rows)
    assert "no digit found" in page
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) >= 3 * len(rows) + 2
    assert all(source.startswith("data:image/") for source in sources)


def test_pictures_are_scored_by_kind(fork_module, pictures):
    labels = pictures / "labels.csv"
    labels.write_text(
        "file,digits,kind\nsheet.jpg,718,drawing\nmnist.png,7,scan\nblank.png,4,scan\n"
    )
    table = pictures / "labelled.csv"
    process = fork_module(MODULE, f"--labels={labels}", f"--csv={table}")
    assert process.returncode == 0, process.stderr
    assert "| drawing | 1 | 3 | 2 | 1 | 0 | 0 | 0 | 66.7% | 66.7% |" in process.stdout
    assert "| scan | 2 | 2 | 1 | 0 | 0 | 1 | 0 | 50.0% | 50.0% |" in process.stdout
    assert "| all | 3 | 5 | 3 | 1 | 0 | 1 | 0 | 60.0% | 60.0% |" in process.stdout
    assert f"wrong: {pictures}/sheet.jpg\t7 1 / 0\texpected 718" in process.stdout
    assert table.read_text().count("sheet.jpg") == 3


def test_the_edit_distance_of_known_words():
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("", "4711") == edit_distance("4711", "") == 4


def test_what_becomes_of_each_digit():
    assert outcomes("47?1", "4711") == (3, 0, 1, 0, 0)
    assert outcomes("4?71", "471") == (3, 0, 0, 0, 0)  # a sign that is refused
    assert outcomes("4915", "451") == (2, 1, 0, 0, 1)
    assert outcomes("", "12") == (0, 0, 0, 2, 0)


def test_a_run_of_ones_own(fork_module, pictures, train_run, tmp_path):
    run = train_run(tmp_path / "run", epochs=2, train_size=2000, validation_size=500)
    process = fork_module(MODULE, pictures / "mnist.png", f"--run={run}")
    assert process.stdout == f"{pictures}/mnist.png\t7\n", process.stderr


def test_a_run_that_reads_no_digits(
    fork_module, pictures, train_run, write_idx_folder, tiny_split, tmp_path, assert_one_line_error
):
    folder = write_idx_folder(tmp_path / "data", tiny_split(60), tiny_split(12, seed=1))
    settings = {"data_dir": str(folder), "epochs": 1, "train_size": 40, "validation_size": 20}
    run = train_run(tmp_path / "run", **settings)
    process = fork_module(MODULE, pictures / "mnist.png", f"--run={run}")
    assert_one_line_error(process, "reads images of 5 x 7 pixels in 3 classes, expected 28 x 28")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "expected PICTURE"),
        (("--model=resnet", "a.png"), "model=resnet: expected classic or cnn"),
        (("--run=nowhere", "a.png"), "nowhere: no such folder"),
        (("--labels=nowhere.csv",), "nowhere.csv"),
        (("--page=nowhere/seen.html", "a.png"), "page=nowhere/seen.html: expected a file"),
        (("--ship=mine", "--model=cnn", "a.png"), "needs --run and --labels"),
    ],
)
def test_mistakes_get_one_line(fork_module, assert_one_line_error, flags, message):
    assert_one_line_error(fork_module(MODULE, *flags), message)


def test_the_package_itself_prints_the_same(run_module, pictures, read):
    names = ("sheet.jpg", "nowhere.png", "notes.txt", "mnist.png", "blank.png")
    process = run_module("digits_jax", *(pictures / name for name in names))
    assert (process.returncode, process.stdout) == (1, read[0].stdout)
    assert process.stderr == read[0].stderr
