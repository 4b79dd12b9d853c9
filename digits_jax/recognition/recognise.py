"""From a picture to digits."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from digits_jax.recognition import pictures, readers
from digits_jax.recognition.certainty import Reader, certainty, make_evidence
from digits_jax.recognition.find import LONGEST, Found, Mark, find
from digits_jax.recognition.ink import (
    LEAST_CONTRAST,
    border,
    closed,
    ink,
    is_dark_on_light,
    reduced,
)
from digits_jax.recognition.normalise import BOX, SIDE, is_normal, normalise
from digits_jax.recognition.sheet import without_table
from digits_jax.recognition.signs import as_numbers as numbers
from digits_jax.recognition.signs import in_context
from digits_jax.runs.model_file import TrainedModel

UNSURE = "?"
# A piece that looks like a digit; so many of a picture's pieces, at most, that it is read in other
# ways too; the fewest that say which side is up; the gaps in strokes that are closed, in widths of
# strokes; how likely what is then read has to be; and what a turn has to gain.
SURE = 0.7
MOST_TRIED = 60
LEAST_TURNED = 3
GAPS = (1.5, 3.0, 4.5)
LIKELY = 0.6
TURN_GAIN = 0.15


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
    """What came of a picture: its digits; in one line why there are none, or how it was read."""

    name: str
    picture: pictures.Picture | None
    digits: list[Digit]
    error: str | None
    note: str | None = None
    marks: Sequence[Mark] = ()


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
    return read_picture(pictures.open_picture(source, LONGEST), reader).digits


def look(sources: Iterable[str], reader: Reader) -> Iterator[Seen]:
    """Reads one picture after another; a picture that cannot be read does not stop the others."""
    for source in sources:
        name = pictures.as_line(source)
        try:
            picture = pictures.open_picture(source, LONGEST)
        except OSError as failure:
            yield Seen(name, None, [], error=f"{name}: {failure.strerror}")
        except ValueError as failure:
            yield Seen(name, None, [], error=str(failure))
        else:
            digits, marks, note = read_picture(picture, reader)
            error = None if digits else f"{name}: no digit found"
            yield Seen(name, picture, digits, error, note and f"{name}: {note}", marks)


class Reading(NamedTuple):
    """What was found in a picture, before and after parts were cut, how much each piece looks like
    a digit, and in one line how the picture was changed to be read."""

    found: list[Found]
    uncut: list[Float[np.ndarray, "_ _"]]
    marks: list[Mark]
    alike: Float[np.ndarray, " n"]
    note: str | None = None

    @property
    def worth(self) -> float:
        """Larger for more pieces that look like digits and fewer that do not."""
        return float((self.alike - 0.5).sum())

    @property
    def area(self) -> float:
        """The same by area: pieces of a digit are smaller than the digit."""
        high = np.array([f.box[3] for f in self.found])
        return float(((self.alike - 0.5) * high**2).sum())

    @property
    def clear(self) -> bool:
        """Whether hardly a piece is in doubt."""
        return len(self.alike) > 0 and float((self.alike > SURE).mean()) >= 0.8


class Read(NamedTuple):
    """The digits of a picture, its points and dashes, and how it had to be changed, in one line."""

    digits: list[Digit]
    marks: list[Mark]
    note: str | None


def read_picture(picture: pictures.Picture, reader: Reader) -> Read:
    """Finds and reads the digits of a picture.

    An image like those of MNIST is not changed, nor doubted: its answer is the network's own.
    """
    grey, margin = picture.grey, picture.margin
    already = as_mnist(grey)
    if already is not None:
        whole = Found((0, 0, *picture.size), 0, already / 255)
        return Read(_digits([whole], already[None], reader._replace(threshold=-1)), [], None)
    scale = max(picture.size) / (max(grey.shape) - 2 * margin)
    reading = best_reading(grey, scale)
    edge = round(margin * scale)

    def moved(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        return max(0, box[0] - edge), max(0, box[1] - edge), box[2], box[3]

    found = [f._replace(box=moved(f.box)) for f in reading.found]
    digits = _digits(found, normal([f.ink for f in found]), reader)
    said = []
    for line in _lines(digits):
        labels = in_context([d.box for d in line], [d.label for d in line])
        said += [d._replace(label=label) for d, label in zip(line, labels, strict=True)]
    return Read(said, [m._replace(box=moved(m.box)) for m in reading.marks], reading.note)


def _digits(
    found: Sequence[Found], images: UInt8[np.ndarray, "n 28 28"], reader: Reader
) -> list[Digit]:
    evidence = reader.evidence(images)
    sure = certainty(evidence, reader.means) >= reader.threshold
    return [
        Digit(
            label=str(p.argmax()) if sure_of_it else UNSURE,
            probability=float(p.max()),
            box=f.box,
            line=f.line,
            image=image,
            probabilities=p,
            ink=f.ink,
        )
        for f, image, p, sure_of_it in zip(found, images, evidence.probabilities, sure, strict=True)
    ]


def read_digits(grey: Float[np.ndarray, "h w"], reader: Reader) -> list[Digit]:
    """The digits of a picture as grey levels from 0 to 1: see `read_picture`."""
    return read_picture(pictures.Picture(grey, grey.shape[::-1]), reader).digits


def best_reading(grey: Float[np.ndarray, "h w"], scale: float) -> Reading:
    """Reads a picture in the ways that its look suggests, and keeps what looks most like digits.

    A sheet on a table is read as if there were no table. What is in doubt is turned by right
    angles, then taken with ink and paper exchanged, then with the gaps of broken strokes closed.
    """
    if np.ptp(grey) < LEAST_CONTRAST:
        return Reading([], [], [], np.zeros(0))
    whole, step = grey, 1.0
    if max(grey.shape) > LONGEST:
        grey = reduced(grey, LONGEST)
        step = max(whole.shape) / max(grey.shape)

    def read(grey: Float[np.ndarray, "h w"], dark: bool | None = None, gap: float = 0) -> Reading:
        contrast = ink(grey, dark)
        strokes = closed(contrast, gap) if gap else contrast
        found, uncut, marks = find(strokes, likeness, scale * step)
        return Reading(found, uncut, marks, likeness([f.ink for f in found]))

    sheet = without_table(grey)
    grey, best = max(
        ((view, read(view)) for view in (grey, sheet) if view is not None),
        key=lambda pair: pair[1].worth,
    )
    if best.clear or len(best.found) > MOST_TRIED:
        return best
    turns = turned(best)
    if turns:
        other = read(np.rot90(grey, turns))
        if other.worth > best.worth:
            boxes = [upright(f.box, turns, whole.shape, scale) for f in other.found]
            found = [f._replace(box=box) for f, box in zip(other.found, boxes, strict=True)]
            return other._replace(found=found, note=f"turned by {90 * turns} degrees to be read")
    dark = is_dark_on_light(grey)
    exchanged = read(grey, not dark)
    if exchanged.clear and exchanged.worth > best.worth:
        return exchanged
    readings = [read(grey, dark, gap) for gap in GAPS]
    likely = [r for r in readings if len(r.alike) and r.alike.mean() > LIKELY]
    return max([best, *likely], key=lambda reading: reading.area)


def turned(reading: Reading) -> int:
    """By how many right angles, counter-clockwise, pieces have to be turned to look like digits."""
    if len(reading.uncut) < LEAST_TURNED:
        return 0
    alike = [likeness([np.rot90(ink, k) for ink in reading.uncut]).mean() for k in range(4)]
    return int(np.argmax(alike)) if max(alike) > alike[0] + TURN_GAIN else 0


def upright(
    box: tuple[int, int, int, int], turns: int, shape: tuple[int, int], scale: float
) -> tuple[int, int, int, int]:
    """A box in a picture that was turned, as one in the picture of `shape` before it."""
    left, top, width, height = box
    h, w = (round(n * scale) for n in shape)
    if turns == 2:
        return w - left - width, h - top - height, width, height
    if turns == 1:
        return w - top - height, left, height, width
    return top, h - left - width, height, width


def normal(inks: Sequence[Float[np.ndarray, "_ _"]]) -> UInt8[np.ndarray, "n 28 28"]:
    """Each piece of ink as an image like MNIST's."""
    return np.array([normalise(ink) for ink in inks], np.uint8).reshape(-1, SIDE, SIDE)


def likeness(inks: Sequence[Float[np.ndarray, "_ _"]]) -> Float[np.ndarray, " n"]:
    """How much each piece of ink looks like one digit to the `cnn`, from 0 to 1.

    That network finds digits whichever reads them: telling them from other things takes a good one.
    """
    judge = readers.reader()
    evidence = judge.evidence(normal(inks))
    return np.asarray(evidence.probabilities.max(1) * (1 - evidence.other))


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
    return " / ".join(" ".join(d.label for d in line) for line in _lines(digits))


def as_numbers(seen: Seen) -> str:
    """What is read as numbers: a space between numbers, a slash with spaces between lines."""
    return " / ".join(
        numbers([d.box for d in line], [d.label for d in line], [d.ink for d in line], seen.marks)
        for line in _lines(seen.digits)
    )


def _lines(digits: list[Digit]) -> list[list[Digit]]:
    return [list(line) for _, line in itertools.groupby(digits, key=lambda digit: digit.line)]
