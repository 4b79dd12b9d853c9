"""The part of a report that looks at one run: confusion, mistakes, weights, calibration."""

import math
from typing import NamedTuple

import numpy as np

from digits_jax.data.dataset import Splits
from digits_jax.evaluation import precision_and_recall
from digits_jax.reports import calibration, drawing, figures, page
from digits_jax.runs import reading
from digits_jax.runs.reading import Predictions, Run

MISTAKES = 20
UNITS = 100
CONFUSIONS = 3

LOSS_NAMES = {"quadratic": "quadratic cost", "cross_entropy": "cross-entropy, nats"}
PROBABILITIES = {
    "quadratic": "the sigmoid outputs divided by their sum",
    "cross_entropy": "the softmax of the logits",
}


class Section(NamedTuple):
    """A piece of the page, its pictures as PNG files by name, and warnings to the reader."""

    html: list[str]
    figures: dict[str, bytes]
    warnings: tuple[str, ...] = ()


class Part(NamedTuple):
    """A picture of a section, and what is told about it."""

    title: str
    png: bytes | None
    description: str
    caption: str


def detail(run: Run, splits: Splits, name: str, which: str = "") -> Section:
    """Scores a run's model again on the test split and shows what it makes of the images.

    Args:
        run: the run.
        splits: its data.
        name: what it is called on the page and in the names of the pictures.
        which: why it is this run that is shown, where there are others.
    """
    predictions = reading.predict(run.model, splits.test)
    warnings = _differences(run, predictions, name)
    loss = run.config.loss
    text = (
        f"{f'The {which}. ' if which else ''}Seed {run.config.seed}; its model, applied here again "
        f"to the {len(predictions.labels):,} test images, makes "
        f"{np.sum(~predictions.correct):,} errors. Its probabilities are "
        f"{PROBABILITIES.get(loss, f'those of {loss}')} (loss={loss})."
    )
    parts = {
        "confusion": _confusion(predictions, splits.class_names),
        "mistakes": _mistakes(predictions, splits),
        "weights": _weights(run, splits.class_names),
        "reliability": _reliability(predictions),
    }
    shown = [
        page.part(
            page.heading(3, part.title),
            page.picture(part.png, part.description, part.caption)
            if part.png
            else page.paragraph(part.caption),
        )
        for part in parts.values()
    ]
    shown.insert(1, _class_scores(predictions, splits.class_names))
    html = [
        page.heading(2, f"In detail: {name}"),
        *(page.paragraph(warning, "note") for warning in warnings),
        page.paragraph(text),
        page.columns(shown),
    ]
    files = {f"{name}-{kind}": part.png for kind, part in parts.items() if part.png}
    return Section(html, files, warnings)


def _differences(run: Run, predictions: Predictions, name: str) -> tuple[str, ...]:
    found = (int(np.sum(~predictions.correct)), len(predictions.labels))
    recorded = (run.summary["test_errors"], run.summary["test_size"])
    if found == recorded:
        return ()
    return (
        f"{name}: scored here, the model makes {found[0]:,} errors in {found[1]:,} test images; "
        f"summary.json records {recorded[0]:,} in {recorded[1]:,}. The data have changed since, or "
        "this device rounds otherwise.",
    )


def _confusion(predictions: Predictions, class_names: tuple[str, ...]) -> Part:
    confusion = predictions.confusion
    png = drawing.png(figures.confusion_matrix(confusion, class_names))
    wrong = confusion - np.diag(np.diag(confusion))
    most = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    pairs = [np.unravel_index(index, wrong.shape) for index in most]
    told = [
        f"{class_names[label]} taken for {class_names[predicted]}: {wrong[label, predicted]:,}"
        for label, predicted in pairs
        if wrong[label, predicted]
    ]
    caption = "Test images by label (row) and predicted class (column)."
    if told:
        caption += f" Most often confused: {'; '.join(told)}."
    return Part(
        "Confusion matrix",
        png,
        f"Confusion matrix of {len(confusion)} classes: {np.trace(confusion):,} of "
        f"{confusion.sum():,} images are on the diagonal.",
        caption,
    )


def _class_scores(predictions: Predictions, class_names: tuple[str, ...]) -> str:
    confusion = predictions.confusion
    precision, recall = precision_and_recall(confusion)
    # Pictures may cut names short, and then tell them apart by their label.
    named = class_names != tuple(map(str, range(len(class_names))))
    rows = [
        (
            name,
            *([str(index)] * named),
            f"{images:,}",
            _percent(precision[index]),
            _percent(recall[index]),
        )
        for index, (name, images) in enumerate(zip(class_names, confusion.sum(axis=1), strict=True))
    ]
    caption = (
        "Precision: the share of the images taken for a class that are of it. Recall: the share of "
        "a class's images that were taken for it."
    )
    header = ["class", *(["label"] * named), "test images", "precision", "recall"]
    return page.part(
        page.heading(3, "Precision and recall"),
        page.table(header, rows, "Of each class"),
        page.paragraph(caption, "quiet"),
    )


def _percent(share: float) -> str:
    return "undefined" if math.isnan(share) else f"{share:.1%}"


def _mistakes(predictions: Predictions, splits: Splits) -> Part:
    title = "Most confident mistakes"
    wrong = np.flatnonzero(~predictions.correct)
    if not len(wrong):
        return Part(title, None, "", "None: every test image is classified right.")
    most = wrong[np.argsort(-predictions.confidence[wrong], kind="stable")][:MISTAKES]
    examples = [
        figures.Mistake(
            splits.test.images[index],
            label=int(predictions.labels[index]),
            label_probability=float(predictions.probabilities[index, predictions.labels[index]]),
            predicted=int(predictions.predicted[index]),
            predicted_probability=float(predictions.confidence[index]),
        )
        for index in most
    ]
    names = splits.class_names
    told = [
        f"{names[example.label]} ({example.label_probability:.1%}) taken for "
        f"{names[example.predicted]} ({example.predicted_probability:.1%})"
        for example in examples
    ]
    return Part(
        title,
        drawing.png(figures.mistakes(examples, names)),
        f"Images with their labels and predictions: {'; '.join(told)}.",
        f"The {len(examples)} of {len(wrong):,} misclassified test images that the network was "
        "surest of: under each its label, then the class it was taken for, both with the "
        "probability that the network gave them.",
    )


def _weights(run: Run, class_names: tuple[str, ...]) -> Part:
    first = np.asarray(next(filter(None, run.model.params)).weights)
    units = first.reshape(len(first), *run.model.image_shape)
    pixels = "{} x {}".format(*run.model.image_shape)
    shown = units[:UNITS]
    number = f"{len(shown)}" if len(shown) == len(units) else f"first {len(shown)} of {len(units)}"
    scale = (
        f" One scale, centred on zero, for all; the {100 - figures.WEIGHTS_SHOWN:g} % of the "
        "weights beyond its ends have the end's colour."
    )
    if run.config.hidden:
        title, of = "Weights of the hidden units", f"the {number} units of the hidden layer"
        titles = None
    else:
        title, of = "Weights of the classes", f"the {number} classes, as there is no hidden layer"
        titles = class_names[:UNITS]
    if len(run.config.hidden) > 1:
        of = of.replace("the hidden layer", "the first hidden layer")
        scale += " Weights of later layers belong to units, not to pixels, and are not shown."
    return Part(
        title,
        drawing.png(figures.weights(shown, titles)),
        f"The weights of {of}, each as a picture of {pixels} pixels.",
        f"Each picture: the weights of one of {of}, where its {pixels} pixels are.{scale}",
    )


def _reliability(predictions: Predictions) -> Part:
    binned = calibration.reliability(predictions.confidence, predictions.correct)
    error = calibration.expected_calibration_error(binned)
    accuracy, confidence = predictions.correct.mean(), predictions.confidence.mean()
    tendency = "overconfident" if confidence > accuracy else "underconfident"
    return Part(
        "Calibration",
        drawing.png(figures.reliability_diagram(binned)),
        f"Reliability diagram in {len(binned.counts)} bins of confidence. "
        f"Mean confidence {confidence:.2%}, accuracy {accuracy:.2%}.",
        f"Expected calibration error (Guo et al., 2017, equation 3): {error:.2%} in "
        f"{len(binned.counts)} bins. Mean confidence {confidence:.2%}, accuracy {accuracy:.2%}: "
        f"on the whole the network is {tendency}.",
    )
