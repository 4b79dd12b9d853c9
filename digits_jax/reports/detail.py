"""The part of a report that looks at one run: confusion, mistakes, weights, calibration, images."""

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from digits_jax.augmentation import Distortions, distort, distortions
from digits_jax.config import hyperparameters
from digits_jax.data.dataset import Splits
from digits_jax.evaluation import precision_and_recall, scale_pixels
from digits_jax.losses import LOSSES
from digits_jax.reports import calibration, figures
from digits_jax.reports.page import element, percent, picture, section, table
from digits_jax.runs import reading
from digits_jax.runs.reading import Predictions, Run

MISTAKES = 20
UNITS = 100
CONFUSIONS = 3
CLASSES = 40
# Training images that are shown distorted, and how often each.
DISTORTED, TIMES = 6, 11


def detail(runs: Sequence[Run], splits: Splits) -> Element:
    """Scores a run's model again on the test split and shows what it makes of the images.

    Args:
        runs: the run, and those that differ from it in nothing but the seed.
        splits: their data.
    """
    run, seeds = runs[0], len(runs)
    predictions = reading.predict(run.model, splits.test)
    errors, images = int(np.sum(~predictions.correct)), len(predictions.labels)
    recorded = run.summary["test_errors"], run.summary["test_size"]
    content = []
    if (errors, images) != recorded:
        warning = (
            f"{run.name}: scored here, the model makes {errors:,} errors in {images:,} test "
            f"images; summary.json records {recorded[0]:,} in {recorded[1]:,}. The data have "
            "changed since, or this device rounds otherwise."
        )
        content.append(element("p", warning, class_="note"))
    text = (
        f"Seed {run.config.seed}{f', the first of {seeds}' if seeds > 1 else ''}: the model, "
        f"applied here again to the {images:,} test images, makes {errors:,} errors. "
        f"Probabilities are the {LOSSES[run.config.loss].outputs} (loss={run.config.loss})."
    )
    confusion = np.zeros((splits.num_classes,) * 2, int)
    np.add.at(confusion, (predictions.labels, predictions.predicted), 1)
    parts = (
        _confusion(run, confusion, splits.class_names),
        _mistakes(run, predictions, splits),
        _class_scores(confusion, splits.class_names),
        _weights(run, splits.class_names),
        _calibration(run, predictions),
        *_distorted(run, splits),
    )
    if seeds > 1:
        text += _together(runs, splits)
    content += [element("p", text), element("div", *parts, class_="columns")]
    return section(f"In detail: {run.name}", *content)


def _together(runs: Sequence[Run], splits: Splits) -> str:
    together = reading.committee([run.model for run in runs], splits.test)
    parameters, seconds, errors = (
        [run.summary[name] for run in runs]
        for name in ("parameters", "train_seconds", "test_errors")
    )
    return (
        f" All {len(runs)} together, by the mean of their probabilities, make "
        f"{np.sum(~together.correct):,} errors ({np.mean(together.correct):.2%} right), where each "
        f"alone makes {np.mean(errors):,.1f} on average: a committee of {sum(parameters):,} "
        f"parameters, trained in {sum(seconds):,.0f} s."
    )


def _confusion(run: Run, confusion: np.ndarray, class_names: tuple[str, ...]) -> Element:
    wrong = confusion - np.diag(np.diag(confusion))
    most = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    told = [
        f"{class_names[label]} as {class_names[predicted]} ({wrong[label, predicted]:,})"
        for label, predicted in zip(*np.unravel_index(most, wrong.shape), strict=True)
        if wrong[label, predicted]
    ]
    description = (
        f"Confusion matrix of {len(confusion)} classes: {np.trace(confusion):,} of "
        f"{confusion.sum():,} images are on the diagonal."
    )
    caption = "Test images by label (row) and predicted class (column)."
    caption += f" Most often confused: {', '.join(told)}." if told else ""
    figure = figures.confusion_matrix(confusion, class_names)
    shown = picture(f"{run.name}-confusion", figure, description, caption)
    return section("Confusion matrix", shown, level=3)


def _class_scores(confusion: np.ndarray, class_names: tuple[str, ...]) -> Element:
    # Pictures may cut names short, and then tell them apart by their label.
    named = class_names != tuple(map(str, range(len(class_names))))
    counts, scores = confusion.sum(axis=1), precision_and_recall(confusion)
    order = range(len(class_names))
    told = "Of each class"
    if len(class_names) > CLASSES:
        recall = np.nan_to_num(scores.recall, nan=1.0)
        order = np.argsort(recall, kind="stable")[:CLASSES].tolist()
        told = f"Of the {CLASSES} of {len(class_names)} classes with the least recall"
    rows = [
        (
            class_names[index],
            *[str(index)] * named,
            f"{counts[index]:,}",
            percent(float(scores.precision[index]), int(confusion[:, index].sum())),
            percent(float(scores.recall[index]), int(counts[index])),
        )
        for index in order
    ]
    header = ["class", *["label"] * named, "test images", "precision", "recall"]
    caption = (
        "Precision: the share of the images taken for a class that are of it. Recall: the share of "
        "a class's images that were taken for it."
    )
    shown = table(header, rows, told), element("p", caption, class_="quiet")
    return section("Precision and recall", *shown, level=3)


def _mistakes(run: Run, predictions: Predictions, splits: Splits) -> Element:
    title = "Most confident mistakes"
    wrong = np.flatnonzero(~predictions.correct)
    if not len(wrong):
        return section(title, element("p", "None: every test image is classified right."), level=3)
    most = wrong[np.argsort(-predictions.confidence[wrong], kind="stable")][:MISTAKES]
    shown = Predictions(*(array[most] for array in predictions))
    names = splits.class_names
    told = [
        f"{names[label]} ({probabilities[label]:.1%}) taken for "
        f"{names[predicted]} ({probabilities[predicted]:.1%})"
        for label, predicted, probabilities in zip(*shown[:3], strict=True)
    ]
    caption = (
        f"The {len(most)} of {len(wrong):,} misclassified test images that the network was surest "
        "of: under each its label, then the class it was taken for, both with the probability that "
        "the network gave them."
    )
    figure = figures.mistakes(splits.test.images[most], shown, names)
    description = f"Images with their labels and predictions: {'; '.join(told)}."
    return section(title, picture(f"{run.name}-mistakes", figure, description, caption), level=3)


def unit_pictures(
    weights: Float[np.ndarray, "units fan_in"], image_shape: tuple[int, int]
) -> Float[np.ndarray, "units height width"]:
    """Each unit's weights as they lie over its inputs: all pixels, a square kernel, else a row."""
    units, fan_in = weights.shape
    side = math.isqrt(fan_in)
    shapes = {math.prod(shape): shape for shape in ((1, fan_in), (side, side), image_shape)}
    return weights.reshape(units, *shapes[fan_in])


def _weights(run: Run, class_names: tuple[str, ...]) -> Element:
    first, *later = filter(None, run.model.params)
    units = unit_pictures(np.asarray(first.weights), run.model.image_shape)
    number = f"{len(units)}" if len(units) <= UNITS else f"first {UNITS} of {len(units)}"
    of = f"{number} units of the first layer" if later else f"{number} classes"
    shape = "{} x {}".format(*units.shape[1:])
    caption = (
        f"Each picture: the {shape} weights of one of the {of}, where its inputs are. One scale, "
        f"centred on zero, for all; the {100 - figures.WEIGHTS_SHOWN:g} % of the weights beyond "
        "its ends have the end's colour."
    )
    caption += " Later layers are not shown: their inputs are units, not pixels." if later else ""
    figure = figures.weights(units[:UNITS], None if later else class_names[:UNITS])
    description = f"The weights of the {of}, each as a picture of {shape}."
    shown = picture(f"{run.name}-weights", figure, description, caption)
    return section(f"Weights of the {'first layer' if later else 'classes'}", shown, level=3)


def _calibration(run: Run, predictions: Predictions) -> Element:
    binned = calibration.reliability(predictions.confidence, predictions.correct)
    error = calibration.expected_calibration_error(binned)
    bins = len(binned.counts)
    accuracy, confidence = (
        float(array.mean()) for array in (predictions.correct, predictions.confidence)
    )
    images = len(predictions.correct)
    means = f"Mean confidence {percent(confidence, images)}, accuracy {percent(accuracy, images)}"
    tendency = "overconfident" if confidence > accuracy else "underconfident"
    shown = picture(
        f"{run.name}-reliability",
        figures.reliability_diagram(binned),
        f"Reliability diagram in {bins} bins of confidence. {means}.",
        f"Expected calibration error (Guo et al., 2017, equation 3): {percent(error, images)} "
        f"in {bins} bins. "
        f"{means}: on the whole the network is {tendency}.",
    )
    return section("Calibration", shown, level=3)


def _distorted(run: Run, splits: Splits) -> list[Element]:
    """The section of a run that distorts its training images, if it does."""
    amounts = distortions(hyperparameters(run.config))
    if amounts is None:
        return []
    images = scale_pixels(jnp.asarray(splits.train.images[:DISTORTED]), jnp.dtype("float32"))
    key = jax.random.key(run.config.seed)
    drawn = [distort(jax.random.fold_in(key, time), images, amounts) for time in range(TIMES)]
    terms = {term: getattr(run.config, term) for term in Distortions._fields}
    words = [f"{term} {value:g}" for term, value in terms.items() if value]
    if fade := run.config.fade:
        end = f" over the last {fade:.0%} of the run" if fade < 1 else ""
        words.append(f"less and less{end}")
    caption = (
        f"Left, {len(images)} training images; beside them as training distorts them, anew in "
        f"every step: {', '.join(words)}."
    )
    shown = picture(
        f"{run.name}-distorted",
        figures.distorted(np.stack([images, *drawn], axis=1)),
        f"{len(images)} images, each followed by {TIMES} distortions of it.",
        caption,
    )
    return [section("Distorted images", shown, level=3)]
