"""A network that comes with the package: its files, and the card that says what it is."""

import dataclasses
import hashlib
import re
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from digits_jax.config import Config
from digits_jax.data import Splits
from digits_jax.recognition import readers
from digits_jax.recognition.certainty import Reader
from digits_jax.runs.files import write_atomically
from digits_jax.runs.reading import Run
from experiments.cli import records
from experiments.recognition.scoring import Score

CANNOT = """\
It tells ten digits apart and nothing else: a letter, a sign or a scribble gets a `?` or a wrong
digit. It has seen digits of American pupils and clerks of the 1990s alone: a 1 with a long upstroke
or on a foot, a 7 with a bar, a 4 that is closed and a 9 with a curled tail it knows less well.
Digits of other scripts, printed ones, and what is turned by more than some 20 degrees it was not
made for."""
LICENCE = """\
Parameters: Apache-2.0, as the code. They were learned from MNIST, which is under CC BY-SA 3.0: see
`digits_jax/data/mnist/README.md`."""


def ship(name: str, run: Run, reader: Reader, splits: Splits, scores: Mapping[str, Score]) -> Path:
    """Writes a run's network, what it takes to know when it is not sure, and its card.

    Raises:
        OSError: where a file cannot be written.
    """
    path = readers.MODELS / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    readers.save(path, run.model, reader.means, reader.threshold)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    confused = confusions(reader, splits)
    write_atomically(path.with_suffix(".md"), card(name, run, digest, confused, scores).encode())
    return path


def card(name: str, run: Run, digest: str, confused: str, scores: Mapping[str, Score]) -> str:
    """What a network is, what made it, how good it is, what it cannot read."""
    summary = run.summary
    versions = ", ".join(f"{package} {version}" for package, version in summary["versions"].items())
    pictures = records.table(
        ["pictures", "number", "digits", "accuracy", "without `?`"],
        [
            [kind, s.pictures, s.digits, s.accuracy, s.sure_accuracy]
            for kind, s in sorted(scores.items())
        ],
    )
    facts: dict[str, Any] = {
        "hidden layers": ", ".join(map(str, run.config.hidden)),
        "parameters": f"{summary['parameters']:,}",
        "data": f"MNIST: the first {run.config.train_size:,} training images to learn from, "
        f"the last {run.config.validation_size:,} for choices and for the threshold of `?`",
        "recipe": f"`{command(run.config)}`",
        "seed": run.config.seed,
        "made on": f"{summary['device']}; {versions}",
        "SHA-256": f"`{digest}`, on the same kind of machine the same bytes again",
        "test accuracy": f"{summary['test_accuracy']:.2%}, {summary['test_errors']} errors in "
        f"{summary['test_size']:,} images, scored once",
        "over seeds": over_seeds(name),
        "commonest errors there": confused,
    }
    return f"""# {name}

A network for handwritten digits that comes with digits_jax.

{records.table(["", ""], facts.items())}

What is read of photos, scans and drawings, the finding of digits included, a `?` being an error or,
in the last column, standing for the likeliest class. These pictures served development, also to
choose among networks that validation images cannot tell apart: other pictures may be harder.

{pictures}

## What it cannot read

{CANNOT}

## Licence

{LICENCE}
"""


def command(config: Config) -> str:
    """What trains a network again: every setting that is not that of the classic run."""
    classic = Config()
    given = []
    for field in dataclasses.fields(Config):
        value = getattr(config, field.name)
        if value != getattr(classic, field.name):
            written = ",".join(map(str, value)) if isinstance(value, tuple) else value
            given.append(f"--{field.name}={written}")
    return shlex.join(["python", "-m", "experiments.train", *given])


def over_seeds(name: str) -> str:
    """What the recipe of that name comes to, if it is on record."""
    record = records.FOLDER / f"{name}.md"
    text = record.read_text() if record.exists() else ""
    found = re.search(r"^\| (\d+) \| (\S+ ± \S+ %)", text, re.MULTILINE)
    if not found:
        return "not on record"
    return f"{found[2]}, n = {found[1]}, with the settings of experiments/records/{name}.md"


def confusions(reader: Reader, splits: Splits, most: int = 5) -> str:
    """The commonest wrong answers for test images."""
    images, labels = splits.test
    read = reader.evidence(images).logits.argmax(1)
    wrong = Counter(zip(labels[read != labels], read[read != labels], strict=True))
    ordered = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))[:most]
    return ", ".join(f"{a} read as {b} ({np.int64(n)})" for (a, b), n in ordered)
