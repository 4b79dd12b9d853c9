"""The loop: competitors take turns, each turn a process that prints JSON."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from experiments.cli.timing import Unavailable, interleaved, summarise

ROOT = Path(__file__).parents[2]
# Words of a command, and values of variables, that stand for a folder of the benchmark's own.
WORKDIR, COLD, WARM = "{workdir}", "{cold}", "{warm}"
Found = dict[str, float]


class Case(NamedTuple):
    """A process that is measured.

    Attributes:
        section: of the benchmark.
        name: the row of a table.
        setting: the column of a table, as text.
        words: what follows `python -m`; `{workdir}` in them becomes a new folder.
        environment: variables of the process; `{cold}` becomes a new folder, `{warm}` one that is
            the same in every turn.
        form: which of its forms a peer has taken, for people.
    """

    section: str
    name: str
    setting: str
    words: tuple[str, ...]
    environment: Mapping[str, str] = {}
    form: str = ""


class Measurement(NamedTuple):
    """A quantity of a case: median and range over `n` turns; without any, `note` says why."""

    section: str
    name: str
    setting: str
    form: str
    quantity: str
    median: float | None
    minimum: float | None
    maximum: float | None
    n: int
    note: str = ""


def run(case: Case, folder: Path) -> Found:
    """Runs the process of a case: its time in seconds, its memory in bytes, and what it prints.

    What it prints is a line of JSON, numbers by name; a training that writes `{workdir}` is judged
    by the seconds and the test accuracy in its summary.json.

    Raises:
        Unavailable: in a few words, where the process fails.
    """
    workdir = tempfile.mkdtemp(dir=folder)
    places = {WORKDIR: workdir, COLD: tempfile.mkdtemp(dir=folder), WARM: str(folder / "warm")}

    def placed(text: str) -> str:
        for word, place in places.items():
            text = text.replace(word, place)
        return text

    environment = {name: placed(value) for name, value in case.environment.items()}
    outer = [sys.executable, "-m", "experiments.benchmarks.process"]
    process = subprocess.run(
        [*outer, sys.executable, "-m", *map(placed, case.words)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    if process.returncode:
        last = (process.stderr.strip().splitlines() or [f"status {process.returncode}"])[-1]
        raise Unavailable(last.replace("ModuleNotFoundError: No module named", "not installed:"))
    found: dict[str, Any] = json.loads(process.stdout)
    printed, summary = found.pop("output"), Path(workdir) / "summary.json"
    more = json.loads(summary.read_text() if summary.exists() else printed.splitlines()[-1])
    return {
        name.removesuffix("_seconds").replace("_", " "): float(value)
        for name, value in (found | more).items()
        if isinstance(value, float | int) and (name.endswith("_seconds") or name in QUANTITIES)
    }


# What a process is asked for, beside the seconds of a training's parts.
QUANTITIES = ("time", "memory", "epoch", "test_accuracy", "sgemm")


def fastest(forms: Sequence[Case], folder: Path) -> Case:
    """Of the forms of a peer, the one whose epoch takes least, by one turn each.

    The first, where none can be run: its turn will say why.
    """

    def seconds(case: Case) -> float:
        try:
            return run(case, folder)["epoch"]
        except Unavailable:
            return float("inf")

    return forms[0] if len(forms) == 1 else min(forms, key=seconds)


def take_turns(
    cases: Sequence[Sequence[Case]], rounds: int, advance: Callable[..., None]
) -> list[Measurement]:
    """Chooses each peer's fastest form, then gives everybody a turn in each round.

    Args:
        cases: the forms of each competitor.
        rounds: turns of each.
        advance: is called after each turn, with 1 and its name.
    """

    def turn(case: Case, folder: Path) -> Found:
        found = run(case, folder)
        advance(1, f"{case.section} {case.setting}: {case.name}")
        return found

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chosen = [fastest(forms, folder) for forms in cases]
        for case in chosen:
            if WARM in case.environment.values():  # fills its cache; why it fails is told below
                with contextlib.suppress(Unavailable):
                    run(case, folder)
        turns = {number: partial(turn, case, folder) for number, case in enumerate(chosen)}
        results, failures = interleaved(turns, rounds)
    measurements = []
    for number, case in enumerate(chosen):
        of = partial(Measurement, *case[:3], case.form)
        if number in failures:
            measurements.append(of("time", None, None, None, 0, str(failures[number])))
        for quantity in results[number][0] if number in results else ():
            values = [found[quantity] for found in results[number]]
            measurements.append(of(quantity, *summarise(values)))
    return measurements
