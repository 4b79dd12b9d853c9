"""How much is read of pictures whose digits are known, by kind of picture."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from digits_jax.recognition import look
from digits_jax.recognition.certainty import Reader
from digits_jax.recognition.recognise import UNSURE


class Score(NamedTuple):
    """Pictures of a kind, their digits, errors where a `?` is one and where it is not asked for."""

    pictures: int
    digits: int
    errors: int
    sure_errors: int

    @property
    def accuracy(self) -> str:
        """The share of digits that are read; a wrong, a missed and an invented one is an error."""
        return f"{1 - self.errors / self.digits:.1%}"

    @property
    def sure_accuracy(self) -> str:
        """The same where the likeliest class stands for each `?`."""
        return f"{1 - self.sure_errors / self.digits:.1%}"


def score(labels: Path, reader: Reader) -> dict[str, Score]:
    """Scores the pictures that a file lists, all of them and those of each kind.

    Args:
        labels: CSV with the columns file, beside the CSV itself, digits, and maybe kind.
        reader: what reads them.

    Raises:
        ValueError: in one line, where the file has no such columns or no row.
        OSError: where it cannot be read.
    """
    with open(labels, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"file", "digits"} <= rows[0].keys():
        raise ValueError(f"{labels}: expected rows with the columns file and digits, maybe kind")
    scores: dict[str, Score] = {}
    paths = [str(labels.parent / row["file"]) for row in rows]
    for row, seen in zip(rows, look(paths, reader), strict=True):
        sure = "".join(d.label for d in seen.digits if d.label != UNSURE)
        likeliest = "".join(str(d.probabilities.argmax()) for d in seen.digits)
        errors = (edit_distance(text, row["digits"]) for text in (sure, likeliest))
        one = 1, len(row["digits"]), *errors
        for kind in ("all", row.get("kind") or "unnamed"):
            scores[kind] = Score(*map(sum, zip(scores.get(kind, [0] * 4), one, strict=True)))
    return scores


def edit_distance(a: Sequence[str], b: Sequence[str]) -> int:
    """The fewest insertions, deletions, replacements that make `b` of `a` (Levenshtein, 1966)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]
