"""Makes every record again by the command that it shows, and says what changed.

The commands run one after the other. Before each, the script waits until the machine is idle: a
load average below 0.3 for a minute. If that takes longer than --patience_minutes, it goes on, and
the record says how busy the machine was. A script that was stopped goes on with --resume. All
records take some hours.

usage: python -m experiments.records [--only=NAME,NAME] [--list] [--resume]
"""

import json
import math
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from absl import flags as absl_flags

from digits_jax.runs import directories
from digits_jax.runs.files import write_atomically
from experiments.cli import flags, script
from experiments.cli.records import FOLDER, table

ROOT = Path(__file__).parents[1]
IDLE_LOAD, IDLE_SECONDS = 0.3, 60.0
STATE, CHANGES = "before.json", "changes.md"
SHOWN = 20  # changes on a terminal
UNITS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
NUMBER = re.compile(r"(-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?)\s*(s|ms|µs|ns)?(?![\w])")


class Change(NamedTuple):
    """A cell of a table that differs, and by which factor its first number does."""

    record: str
    row: str
    column: str
    before: str
    after: str
    factor: float


def commands(text: str, reuse: bool = False) -> list[list[str]]:
    """The words after `python` of the commands that make a record, from its second paragraph.

    A report of runs is preceded by their trainings: `runs/NAME-3` is the recipe NAME with seed 3.

    Args:
        text: the record.
        reuse: leave out trainings that are finished.

    Raises:
        ValueError: where the record does not begin with its command.
    """
    found = re.match(r"# .*?\n\n`python (-m .*?)`", text)
    if not found:
        raise ValueError("its second paragraph does not begin with a command")
    words = shlex.split(found[1])
    if not any(word.startswith("--record") for word in words):
        words.append("--record")
    trainings = []
    for word in words:
        run = re.fullmatch(r"runs/(\w+)-(\d+)", word)
        if run and not (reuse and (ROOT / word / "summary.json").exists()):
            recipe = f"--flagfile=experiments/recipes/{run[1]}.flags"
            place = [f"--workdir={word}", "--overwrite"]
            trainings.append(["-m", "experiments.train", recipe, f"--seed={run[2]}", *place])
    return [*trainings, words]


def wait_until_idle(
    patience: float,
    load: Callable[[], float] = lambda: psutil.getloadavg()[0],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Waits until the load has been low for a minute: whether it was, within so many seconds."""
    began = quiet_since = clock()
    while clock() - quiet_since < IDLE_SECONDS:
        if load() >= IDLE_LOAD:
            quiet_since = clock()
        if clock() - began > patience + IDLE_SECONDS:
            return False
        sleep(1.0)
    return True


def cells(text: str) -> dict[tuple[str, int, str, str], str]:
    """The cells of a record's tables: by heading, number of the table, row and column."""
    found: dict[tuple[str, int, str, str], str] = {}
    heading, header, number = "", [""], 0
    for line in text.splitlines():
        parts = [part.strip() for part in line.strip("|").split(" | ")]
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif not line.startswith("|"):
            header = [""]
        elif header == [""]:
            header, number = parts, number + 1
        elif not set(line) <= set("|- "):
            row = parts[0]
            for column, cell in zip(header[1:], parts[1:], strict=False):
                found.setdefault((heading, number, row, column), cell)
    return found


def changes(name: str, before: str, after: str) -> Iterator[Change]:
    """The cells that differ between two versions of a record; `inf` where one has no number."""
    earlier, later = cells(before), cells(after)
    for key in dict.fromkeys((*earlier, *later)):
        old, new = earlier.get(key, ""), later.get(key, "")
        if old != new:
            heading, _, row, column = key
            one, other = _number(old), _number(new)
            factor = other / one if one and other else math.inf
            yield Change(name, f"{heading}: {row}", column, old, new, factor)


def _number(cell: str) -> float | None:
    """The first number in a cell, in seconds where it is a time."""
    found = NUMBER.search(cell)
    return float(found[1].replace(",", "")) * UNITS.get(found[2], 1.0) if found else None


def report(found: list[Change]) -> str:
    """A table of changes, the largest factors first."""

    def size(change: Change) -> float:
        return abs(math.log(change.factor)) if change.factor > 0 else math.inf

    rows = [
        (*change[:5], "" if math.isinf(change.factor) else f"{change.factor:.3f}")
        for change in sorted(found, key=size, reverse=True)
    ]
    return table(("record", "row", "column", "before", "now", "factor"), rows)


def define_flags() -> None:
    """Defines the flags of this script."""
    group: dict[str, Any] = {"module_name": "run"}
    absl_flags.DEFINE_list("only", [], "records to make (default: all)", **group)
    absl_flags.DEFINE_bool("list", False, "print the commands and run nothing", **group)
    text = "go on if the machine is not idle after so many minutes"
    absl_flags.DEFINE_integer("patience_minutes", 30, text, 0, **group)
    text = "folder for the earlier records and for changes.md"
    absl_flags.DEFINE_string("workdir", "runs/records", text, **group)
    absl_flags.DEFINE_bool("resume", False, "go on where the script was stopped", **group)
    absl_flags.DEFINE_bool("overwrite", False, "begin again in workdir", **group)


def chosen() -> dict[str, str]:
    """The text of each record that is to be made, by name.

    Raises:
        ValueError: in one line, where there is no such record.
    """
    names: list[str] = flags.FLAGS.only or sorted(path.stem for path in FOLDER.glob("*.md"))
    for name in names:
        if not (FOLDER / f"{name}.md").is_file():
            raise ValueError(f"only={name}: {FOLDER} has no such record")
    return {name: (FOLDER / f"{name}.md").read_text("utf-8") for name in names}


def main() -> int:
    values = flags.FLAGS
    directory = Path(values.workdir).expanduser()
    state = directory / STATE
    with script.user_errors(ValueError, OSError):
        texts = chosen()
        plans = {name: commands(text, values.resume) for name, text in texts.items()}
        if values.list:
            for name, plan in plans.items():
                print(name, *(shlex.join(["python", *words]) for words in plan), sep="\n    ")
            return 0
        if values.resume and not state.is_file():
            raise ValueError(f"{directory} holds nothing to resume: it has no {STATE}")
        if not values.resume:
            directories.check(directory, values.overwrite)
            directories.clear(directory, values.overwrite, (STATE, CHANGES))
    # The records that were made, with their earlier text.
    done: dict[str, str] = json.loads(state.read_text("utf-8")) if values.resume else {}
    failed = []
    for number, (name, plan) in enumerate(plans.items(), start=1):
        if name in done:
            continue
        idle = wait_until_idle(60.0 * values.patience_minutes)
        print(f"{number} of {len(plans)}: {name}{'' if idle else ' (the machine is busy)'}")
        began = time.monotonic()
        if any(subprocess.run([sys.executable, *words], cwd=ROOT).returncode for words in plan):
            failed.append(name)
            continue
        done[name] = texts[name]
        write_atomically(state, json.dumps(done).encode())
        print(f"{name}: {time.monotonic() - began:,.0f} s", flush=True)
    found = [
        change
        for name, before in done.items()
        for change in changes(name, before, (FOLDER / f"{name}.md").read_text("utf-8"))
    ]
    text = report(found)
    write_atomically(directory / CHANGES, f"# Changes\n\n{text}\n".encode())
    print(*text.splitlines()[: 2 + SHOWN], sep="\n")
    print(f"{len(done)} records made, {len(found)} cells changed: {directory / CHANGES}")
    if failed:
        print(f"error: these commands failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    define_flags()
    script.run(main)
