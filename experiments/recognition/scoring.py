"""How much is read of pictures whose digits are known, by kind of picture."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from digits_jax import recognition
from digits_jax.recognition.recognise import UNSURE, Seen


class Score(NamedTuple):
    """Pictures of a kind, their digits, what became of them (`outcomes`), and the edit distances.

    `sure_errors` is the distance with the likeliest class in place of each `?`.
    """

    pictures: int
    digits: int
    right: int
    wrong: int
    refused: int
    missed: int
    invented: int
    errors: int
    sure_errors: int

    @property
    def accuracy(self) -> str:
        """The share of digits that are read; a wrong, a missed and an invented one is an error."""
        return f"{1 - self.errors / max(self.digits, 1):.1%}"

    @property
    def sure_accuracy(self) -> str:
        """The same with the likeliest class in place of each `?`."""
        return f"{1 - self.sure_errors / max(self.digits, 1):.1%}"


class Wrong(NamedTuple):
    """A picture that is not read as it should be."""

    name: str
    read: str
    truth: str


def read_labels(labels: Path) -> list[tuple[str, str, str]]:
    """The path, the digits and the kind of each picture that a CSV file lists.

    Raises:
        ValueError: in one line, if the file has no such columns or no row.
        OSError: if it cannot be read.
    """
    try:
        with open(labels, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{labels}: not a CSV file in UTF-8: {error}") from None
    if not rows or not {"file", "digits"} <= rows[0].keys():
        raise ValueError(f"{labels}: expected rows with the columns file and digits, maybe kind")
    return [
        (
            str(labels.parent / (row["file"] or "")),
            row["digits"] or "",
            row.get("kind") or "unnamed",
        )
        for row in rows
    ]


def score(
    rows: Sequence[tuple[str, str, str]], pictures: Sequence[Seen]
) -> tuple[dict[str, Score], list[Wrong]]:
    """Scores pictures that are read, all of them and those of each kind; lists the wrong ones."""
    scores: dict[str, Score] = {}
    wrong = []
    for (_, truth, kind), seen in zip(rows, pictures, strict=True):
        labels = "".join(d.label for d in seen.digits)
        likeliest = "".join(str(d.probabilities.argmax()) for d in seen.digits)
        errors = edit_distance(labels.replace(UNSURE, ""), truth)
        one = 1, len(truth), *outcomes(labels, truth), errors, edit_distance(likeliest, truth)
        for name in ("all", kind):
            scores[name] = Score(*map(sum, zip(scores.get(name, [0] * 9), one, strict=True)))
        if errors:
            wrong.append(Wrong(seen.name, recognition.as_text(seen.digits), truth))
    return scores, wrong


def outcomes(labels: str, truth: str) -> tuple[int, int, int, int, int]:
    """How many digits are right, wrong, refused, missed and invented, with the fewest mistakes.

    A `?` too many is no mistake.
    """
    row: list[Way] = [(j, (0, 0, 0, j, 0)) for j in range(len(truth) + 1)]
    for label in labels:
        free = label == UNSURE
        new = [_after(row[0], not free, 4 if not free else None)]
        for j, digit in enumerate(truth, 1):
            met = 0 if label == digit else 2 if free else 1
            new.append(
                min(
                    _after(row[j - 1], label != digit, met),
                    _after(row[j], not free, 4 if not free else None),
                    _after(new[j - 1], True, 3),
                    key=lambda way: way[0],
                )
            )
        row = new
    return row[-1][1]


# The cost of a way through both texts, and the five counts of `outcomes`.
Way = tuple[int, tuple[int, int, int, int, int]]


def _after(way: Way, cost: int, count: int | None) -> Way:
    counts = list(way[1])
    if count is not None:
        counts[count] += 1
    return way[0] + int(cost), (counts[0], counts[1], counts[2], counts[3], counts[4])


def edit_distance(a: Sequence[str], b: Sequence[str]) -> int:
    """The fewest insertions, deletions, replacements that make `b` of `a` (Levenshtein, 1966)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]
