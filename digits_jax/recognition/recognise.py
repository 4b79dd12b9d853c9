"""From a picture to digits."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from digits_jax.recognition import pictures, readers
from digits_jax.recognition.certainty import Reader, make_evidence, similarity
from digits_jax.recognition.find import Found, find
from digits_jax.recognition.ink import border
from digits_jax.recognition.normalise import BOX, SIDE, is_normal, normalise
from digits_jax.runs.model_file import TrainedModel

UNSURE = "?"


class Digit(NamedTuple):
    """A digit of a picture.

    label: what it is read as, "?" where the network is not sure.
    probability: of the likeliest class, whether or not the network is sure.
    box: left, top, width and height in the picture, in pixels.
    line: the number of its line, from 0.
    image: as the network saw it.
    probabilities: of all classes.
    ink: as it was cut out, from 0 for paper to 1.
    """

    label: str
    probability: float
    box: tuple[int, int, int, int]
    line: int
    image: UInt8[np.ndarray, "28 28"]
    probabilities: Float[np.ndarray, " classes"]
    ink: Float[np.ndarray, "h w"]


class Seen(NamedTuple):
    """What came of a picture: its grey levels, its digits, and in one line why there are none."""

    name: str
    grey: Float[np.ndarray, "h w"] | None
    digits: list[Digit]
    error: str | None


def recognise(source: pictures.Source, reader: Reader | str = readers.DEFAULT) -> list[Digit]:
    """The digits of a picture, in the order of reading.

    Args:
        source: the path of a picture, `-` for standard input, or the bytes of a file.
        reader: a network of the package, `cnn` or `classic`, or one of your own.

    Raises:
        ValueError: in one line, where that is no picture, or one that cannot be read.
        OSError: where the file cannot be read.
    """
    if isinstance(reader, str):
        reader = readers.reader(reader)
    return read_digits(pictures.read(source), reader)


def look(sources: Iterable[str], reader: Reader) -> Iterator[Seen]:
    """Reads one picture after another; what is wrong with one keeps no other from being read."""
    for source in sources:
        grey, digits, error = None, [], None
        try:
            grey = pictures.read(source)
            digits = read_digits(grey, reader)
        except OSError as failure:
            error = f"{source}: {failure.strerror}"
        except ValueError as failure:
            error = str(failure)
        yield Seen(source, grey, digits, error or (None if digits else f"{source}: no digit found"))


def read_digits(grey: Float[np.ndarray, "h w"], reader: Reader) -> list[Digit]:
    """The digits of a picture that is there already, as grey levels from 0 to 1.

    An image as those of MNIST is not touched, nor doubted: what is read of MNIST is what the
    network makes of it, no more and no less.
    """
    already = as_mnist(grey)
    if already is not None:
        found, images = [Found((0, 0, *grey.shape[::-1]), 0, already / 255)], already[None]
    else:
        found = find(grey, likeness)
        images = normal([f.ink for f in found])
    evidence = reader.evidence(images)
    sure = similarity(evidence, reader.means) >= reader.threshold
    return [
        Digit(
            label=str(p.argmax()) if sure_of_it or already is not None else UNSURE,
            probability=float(p.max()),
            box=f.box,
            line=f.line,
            image=image,
            probabilities=p,
            ink=f.ink,
        )
        for f, image, p, sure_of_it in zip(found, images, evidence.probabilities, sure, strict=True)
    ]


def normal(inks: Sequence[Float[np.ndarray, "_ _"]]) -> UInt8[np.ndarray, "n 28 28"]:
    """Each piece of ink as an image like MNIST's."""
    return np.array([normalise(ink) for ink in inks], np.uint8).reshape(-1, SIDE, SIDE)


def likeness(inks: Sequence[Float[np.ndarray, "_ _"]]) -> Float[np.ndarray, " n"]:
    """How much each piece of ink looks like one digit to the `cnn`, from 0 to 1.

    That network finds digits whichever reads them: to tell them from what is none takes a good one.
    """
    judge = readers.reader()
    evidence = judge.evidence(normal(inks))
    return np.asarray(similarity(evidence, judge.means) * evidence.probabilities.max(1))


def as_mnist(grey: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "28 28"] | None:
    """The grey levels of an image that is as MNIST's are, maybe framed, moved or inverted.

    All its ink lies, on one level of paper, in a box of MNIST's size.
    """
    levels = np.round(grey * 255).astype(np.uint8)
    if grey.shape == (SIDE, SIDE):
        already = next((image for image in (levels, 255 - levels) if is_normal(image)), None)
        if already is not None:
            return already
    edge = border(levels)
    if max(grey.shape) > 2 * SIDE or edge[0] not in (0, 255) or np.ptp(edge):
        return None
    ink = levels if edge[0] == 0 else 255 - levels
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    if ink.max() < 254 or max(np.ptp(rows), np.ptp(columns)) + 1 != BOX:
        return None
    return normalise(ink)


def probabilities(
    model: TrainedModel, images: UInt8[np.ndarray, "n 28 28"]
) -> Float[np.ndarray, "n classes"]:
    """What a network makes of images that are as MNIST's are."""
    return make_evidence(model)(images).probabilities


def as_text(digits: list[Digit]) -> str:
    """What is read: a space between digits, a slash between lines."""
    lines: dict[int, list[str]] = {}
    for digit in digits:
        lines.setdefault(digit.line, []).append(digit.label)
    return " / ".join(" ".join(labels) for labels in lines.values())
