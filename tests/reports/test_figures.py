"""Figures: the numbers that are drawn, and names and shapes that are hard to draw."""

import sys

import matplotlib.colors
import numpy as np
import pytest

from digits_jax.reports import drawing, figures
from digits_jax.reports.calibration import expected_calibration_error, reliability
from digits_jax.runs.reading import Predictions

NOTHING = np.full((3, 2), np.nan)


def curve(label="", validation=None, style=0):
    training = np.array([[0.5, 0.7], [0.6, 0.8], [0.7, 0.6]])
    return figures.Curve(label, training, NOTHING if validation is None else validation, style)


def legends(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_learning_curves_are_means_with_the_range_of_the_seeds():
    figure = figures.learning_curves([curve(validation=np.array([[0.1, 0.2]] * 3))], "accuracy")
    training, validation = figure.axes[0].lines
    np.testing.assert_allclose(training.get_xydata(), [[1, 0.6], [2, 0.7]])
    np.testing.assert_allclose(validation.get_ydata(), [0.1, 0.2])
    assert training.get_linestyle() != validation.get_linestyle()
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert {tuple(point) for point in band.round(6)} == {(1, 0.5), (1, 0.7), (2, 0.6), (2, 0.8)}
    assert legends(figure) == ["validation", "training", "range over seeds"]
    assert figure.axes[0].get_xlabel() == "epoch"


def test_runs_of_3_and_of_300_epochs_can_both_be_read():
    short, long = (
        figures.Curve(str(n), np.full((1, n), 0.5), np.full((1, n), 0.4)) for n in (3, 300)
    )
    for curves, scale in (([short, long], "log"), ([long], "linear"), ([short], "linear")):
        (axes,) = figures.learning_curves(curves, "accuracy").axes
        assert axes.get_xscale() == scale


def test_a_seed_that_ends_before_others_is_in_the_mean_until_then():
    metric = np.array([[0.2, 0.4, 0.6], [0.4, 0.6, np.nan]])
    figure = figures.learning_curves([figures.Curve("", metric, metric)], "accuracy")
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [0.3, 0.5, 0.6])


def test_one_run_has_no_band_and_no_validation_no_line_in_the_legend():
    one = figures.Curve("", np.array([[0.5, 0.7]]), NOTHING[:1])
    figure = figures.learning_curves([one], "loss")
    assert not figure.axes[0].collections
    assert legends(figure) == ["training"]


def test_no_two_of_many_groups_share_a_colour():
    colours = [drawing.style(index)["color"] for index in range(200)]
    assert len({matplotlib.colors.to_hex(colour) for colour in colours}) == 200


def test_groups_differ_in_colour_and_in_marker():
    figure = figures.learning_curves([curve("relu"), curve("tanh", style=1)], "accuracy")
    assert legends(figure)[-2:] == ["relu (n=3)", "tanh (n=3)"]
    relu, _, tanh, _ = figure.axes[0].lines
    assert relu.get_color() != tanh.get_color()
    assert relu.get_marker() != tanh.get_marker()


def test_every_count_of_a_confusion_matrix_is_written():
    confusion = np.arange(9).reshape(3, 3) * 100
    axes = figures.confusion_matrix(confusion, ["a", "b", "c"]).axes[0]
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {
        (column, row): str(confusion[row, column]) for row in range(3) for column in range(3)
    }
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "label")


def test_many_classes_are_shown_without_counts_and_very_many_in_cells_of_several():
    for classes, cells in ((41, 41), (200, 200), (1000, 334)):
        (axes,) = figures.confusion_matrix(np.eye(classes, dtype=int), ["name"] * classes).axes
        assert not axes.texts
        (image,) = axes.images
        assert image.get_array().shape == (cells, cells)
        np.testing.assert_array_equal(np.diag(image.get_array()), np.ones(cells))
        assert axes.get_xlim() == (-0.5, classes - 0.5)


def test_weights_are_drawn_on_one_scale_with_white_at_zero():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(5, 4, 3)) + 0.5
    figure = figures.weights(weights)
    pictures = figure.axes[0].images
    np.testing.assert_array_equal([picture.get_array() for picture in pictures], weights)
    assert len({picture.get_clim() for picture in pictures}) == 1
    least, greatest = pictures[0].get_clim()
    assert least == -greatest
    assert pictures[0].to_rgba(np.zeros(1)).min() > 0.95
    red, _, blue, _ = pictures[0].to_rgba(np.array([greatest]))[0]
    assert red > blue


def test_weights_that_are_all_zero_are_white():
    (picture,) = figures.weights(np.zeros((1, 2, 2))).axes[0].images
    assert picture.to_rgba(np.zeros(1)).min() > 0.95


@pytest.mark.parametrize(("count", "columns"), [(30, 6), (64, 8), (100, 10), (10, 5), (1, 1)])
def test_grids_leave_few_cells_empty(count, columns):
    axes = figures.weights(np.ones((count, 28, 28))).axes[0]
    assert len({picture.get_extent()[0] for picture in axes.images}) == columns


@pytest.mark.parametrize("shape", [(5, 7), (28, 28), (2, 60), (60, 2)])
def test_pictures_keep_their_proportions_and_do_not_overlap(shape):
    axes = figures.weights(np.ones((7, *shape))).axes[0]
    boxes = np.array([picture.get_extent() for picture in axes.images])
    left, right, bottom, top = boxes.T
    np.testing.assert_allclose((bottom - top) / (right - left), shape[0] / shape[1])
    for index in range(7):
        beside = (left >= right[index]) | (right <= left[index])
        above_or_below = (top >= bottom[index]) | (bottom <= top[index])
        assert np.sum(~(beside | above_or_below)) == 1  # itself
    assert left.min() >= 0
    assert right.max() <= drawing.WIDTH


def mistaken(labels, predicted, probabilities=(0.004, 0.0029, 0.9931)):
    """Predictions of images that are all alike."""
    n = len(labels)
    wrong = (np.full(n, max(probabilities)), np.zeros(n, bool))
    return Predictions(np.array(labels), np.array(predicted), np.array([probabilities] * n), *wrong)


def test_a_mistake_shows_both_names_and_probabilities():
    image = np.arange(35, dtype=np.uint8).reshape(5, 7)
    figure = figures.mistakes(image[None], mistaken([0], [2]), ["Bag", "Coat", "Ankle boot"])
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), image)
    assert [text.get_text() for text in figure.axes[0].texts] == ["Bag: 0.4%\n→Ankle boot: 99.3%"]


def test_the_gaps_of_a_reliability_diagram_add_up_to_the_calibration_error():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 500)
    binned = reliability(confidence, rng.uniform(size=500) < confidence**2)
    above, below = figures.reliability_diagram(binned).axes
    (gaps,) = above.collections
    lengths = [abs(end[1] - start[1]) for start, end in gaps.get_segments()]
    counts = np.array([bar.get_height() for bar in below.patches])
    np.testing.assert_array_equal(counts, binned.counts)
    drawn = np.sum(lengths * counts[counts > 0]) / 500
    assert drawn == pytest.approx(expected_calibration_error(binned))
    assert len(above.patches) == np.sum(counts > 0)


# Read as a formula, missing in the font, far too long: warnings would be errors here.
HARD_NAMES = ["$5 or $6", "木", "an_extremely_long_class_name", "<b>", "_"]


def test_names_that_are_hard_to_draw():
    axes = figures.confusion_matrix(np.eye(5, dtype=int), HARD_NAMES).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [r"\$5 or \$6", "1", "2 an_extre…", "<b>", "_"]
    drawing.png(axes.figure)
    long = [f"a_class_like_any_other_{label}" for label in range(3)]
    axes = figures.confusion_matrix(np.eye(3, dtype=int), long).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["0 a_class_…", "1 a_class_…", "2 a_class_…"]
    images = np.zeros((4, 5, 7), np.uint8)
    wrong = mistaken([1, 2, 3, 4], [0] * 4, probabilities=[0.9, *[0.025] * 4])
    drawing.png(figures.mistakes(images, wrong, HARD_NAMES))
    drawing.png(figures.learning_curves([curve("data_dir=$HOME"), curve("data_dir=木$")], "loss"))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (5, 7)])
def test_images_of_any_shape_are_drawn(shape):
    images = np.ones((5, *shape), np.uint8)
    drawing.png(figures.mistakes(images, mistaken([0] * 5, [1] * 5), ["a", "b", "c"]))
    drawing.png(figures.tiles(images, columns=3)[0])
    drawing.png(figures.weights(np.ones((3, *shape))))


def test_the_same_figure_gives_the_same_bytes():
    first, second = (drawing.png(figures.learning_curves([curve()], "loss")) for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")


def test_without_matplotlib_one_line_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match=r"need matplotlib: pip install -e '\.\[figures\]'"):
        figures.learning_curves([curve()], "loss")
