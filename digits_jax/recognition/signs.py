"""Signs among digits: what the line says about a stroke, and numbers as people write them."""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from digits_jax.recognition.find import Mark

# A slash or a bracket is so much higher than digits; a slash leans by so many columns a row; the
# middle of a bracket lies so far, of its height, from the line between its ends.
TALL, LEANING, BOWED = 1.2, 0.35, 0.09
# Digits are of one number if the gap between them is at most this, of their height.
GAP = 0.75

Box = tuple[int, int, int, int]


def sign(ink: Float[np.ndarray, "h w"], height: float, usual: float) -> str | None:
    """What a stroke read as a 1 may be: "/", or "?" for a bracket; `None` for a 1.

    Args:
        ink: the stroke.
        height: its height in the picture.
        usual: that of the digits of its line.
    """
    mask = ink > 0.5
    if height < TALL * usual or not mask.any():
        return None
    rows = np.flatnonzero(mask.any(1))
    middle = mask[rows] @ np.arange(mask.shape[1]) / mask[rows].sum(1)
    y = (rows - rows.mean()) / max(len(rows), 2)
    bend, lean, _ = np.polyfit(y, middle / len(rows), 2)
    if abs(lean) > LEANING:
        return "/"
    return "?" if abs(bend) / 4 > BOWED else None


def usual_height(boxes: Sequence[Box], labels: Sequence[str]) -> float:
    """The median height of the digits of a line that are no strokes; infinite without."""
    heights = [box[3] for box, label in zip(boxes, labels, strict=True) if label not in "1?"]
    return float(np.median(heights)) if heights else float("inf")


def in_context(boxes: Sequence[Box], labels: Sequence[str]) -> list[str]:
    """The labels of a line, with "?" for each character of a printed word.

    Of three or more characters that stand together and are mostly no digits, none is: o and l of
    a word look like 0 and 1.
    """
    usual, read = usual_height(boxes, labels), list(labels)
    gaps = [right[0] - left[0] - left[2] for left, right in itertools.pairwise(boxes)]
    starts = [k + 1 for k, gap in enumerate(gaps) if gap > GAP * min(usual, boxes[k][3])]
    for start, end in itertools.pairwise([0, *starts, len(read)]):
        if end - start >= 3 and read[start:end].count("?") >= (end - start) / 2:
            read[start:end] = "?" * (end - start)
    return read


def as_numbers(
    boxes: Sequence[Box], labels: Sequence[str], inks: Sequence[np.ndarray], marks: Sequence[Mark]
) -> str:
    """A line of digits as numbers, joined by their gaps, with `.`, `-`, `/` where they are clear.

    Args:
        boxes: left, top, width and height of each, from left to right.
        labels: what each is read as; "?" for what is no digit, or not surely one.
        inks: as each was cut out.
        marks: points and dashes of the picture.
    """
    height = float(np.median([b[3] for b in boxes]))
    low, high = min(b[1] for b in boxes), max(b[1] + b[3] for b in boxes)
    pieces = []
    for k, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        read = sign(inks[k], float(box[3]), usual_height(boxes, labels)) if label in "1?" else None
        pieces.append((box[0], box[0] + box[2], read or label))
    for text, (left, top, wide, tall) in marks:
        middle = top + tall / 2
        near = [b for b in boxes if abs(b[0] + b[2] / 2 - left - wide / 2) < 2 * height]
        if not (low <= middle <= high) or not near:
            continue
        at = np.mean([(middle - b[1]) / b[3] for b in near])
        if (text == "." and at > 0.75) or (text == "-" and 0.3 < at < 0.75):
            pieces.append((left, left + wide, text))
    said, end = "", None
    for left, right, text in sorted(pieces):
        apart = end is not None and left - end > GAP * height
        said += (" " if apart else "") + text
        end = right
    return said
