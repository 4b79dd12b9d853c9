"""A network that comes with the package: its files, and the card that says what it is."""

import dataclasses
import hashlib
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from digits_jax.config import Config
from digits_jax.data import Splits
from digits_jax.layers import Affine
from digits_jax.recognition import readers
from digits_jax.recognition.certainty import Reader
from digits_jax.runs.files import write_atomically
from digits_jax.runs.reading import Run
from experiments.cli import records
from experiments.recognition import calibration
from experiments.recognition.scoring import Score

CANNOT = """\
It tells ten digits apart, and from other things as far as it has seen them: letters of fonts,
signs, scribbles, pieces of digits. Other letters, signs and drawings may get a wrong digit. Its
digits are those of American pupils and clerks of the 1990s, and ones and sevens drawn as Europeans
write them: a 4 that is closed and a 9 with a curled tail it knows less well. It was not made for
digits of other scripts, for printed ones, and for digits turned by more than some 20 degrees."""
LICENCE = """\
Parameters: Apache-2.0, as the code. They were learned from MNIST, which is under CC BY-SA 3.0: see
`digits_jax/data/mnist/README.md`."""


def ship(
    name: str,
    run: Run,
    reader: Reader,
    splits: Splits,
    other: Affine | None,
    scores: Mapping[str, Score],
) -> Path:
    """Writes a run's network, what it takes to know when it is not sure, and its card.

    Raises:
        OSError: if a file cannot be written.
    """
    path = readers.MODELS / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    readers.save(path, run.model, reader.means, reader.threshold, other)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    about = card(name, run, digest, reader, splits, other, scores)
    write_atomically(path.with_suffix(".md"), about.encode())
    return path


def card(
    name: str,
    run: Run,
    digest: str,
    reader: Reader,
    splits: Splits,
    other: Affine | None,
    scores: Mapping[str, Score],
) -> str:
    """What a network is, what made it, how good it is, what it cannot read."""
    summary, certainty = run.summary, calibration.measure(reader, splits)
    wrong = reader.evidence(splits.test.images).logits.argmax(1) != splits.test.labels
    errors = int(wrong.sum())
    parameters = sum(np.size(leaf) for leaf in jax.tree.leaves(run.model.params))
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
        "parameters": f"{parameters:,}",
        "data": f"MNIST: the first {len(splits.train.labels):,} training images to learn from"
        f"{' beside what is no digit' if other is not None else ''}, "
        f"the last {len(splits.validation.labels):,} for choices and for the threshold of `?`",
        "recipe": f"`{command(run.config)}`"
        + (", in FOLDER what `python -m experiments.recognise --training_set=FOLDER` writes")
        * (other is not None),
        "seed": run.config.seed,
        "made on": f"{summary['device']}; {versions}",
        "SHA-256": f"`{digest}`, on the same kind of machine the same bytes again",
        "test accuracy": f"{1 - errors / len(wrong):.2%}, {errors} errors in {len(wrong):,} images",
        "what is no digit": f"at 0.2% of validation images refused, {certainty.refused_others:.0%}"
        f" is; area under the ROC curve {certainty.aurocs['certainty'][0]:.3f}",
        "commonest errors there": confusions(reader, splits),
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
            value = "FOLDER" if field.name == "data_dir" else value
            written = ",".join(map(str, value)) if isinstance(value, tuple) else value
            given.append(f"--{field.name}={written}")
    return shlex.join(["python", "-m", "experiments.train", *given])


def confusions(reader: Reader, splits: Splits, most: int = 5) -> str:
    """The commonest wrong answers for test images."""
    images, labels = splits.test
    read = reader.evidence(images).logits.argmax(1)
    wrong = Counter(zip(labels[read != labels], read[read != labels], strict=True))
    ordered = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))[:most]
    return ", ".join(f"{a} read as {b} ({np.int64(n)})" for (a, b), n in ordered)
