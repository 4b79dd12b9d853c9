"""Trains every combination of varied settings with every seed, each a complete run.

usage: python -m experiments.sweep --seeds=100 --vary=learning_rate=0.3,1,3 --vary=hidden=10,30,100
       python -m experiments.sweep --seeds=5 --vary=learning_rate=log:0.01:10:20

Settings that are not varied are those of experiments.train, by the same flags; seeds count up from
--seed. Values of hidden with several layers are joined by x, as in hidden=30,128x64.
"""

import csv
import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags as absl_flags
from tqdm import tqdm

from digits_jax import canvas, data, runs, sweeps
from digits_jax.config import Config
from digits_jax.files import write_atomically
from experiments import flags, sweep_figures, sweep_summary

FILES = FLAGS_FILE, RESULTS_FILE, SUMMARY_FILE = "flags.txt", "results.csv", "summary.csv"
OUTCOME_COLUMNS = (
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
    "test_errors",
    "seconds",
)


def define_flags() -> None:
    """Defines the flags of a sweep beside those of a run."""
    flags.define_config()
    flags.define_workdir()
    absl_flags.DEFINE_multi_string(
        "vary", [], "field=value,... or =log:low:high:n, =uniform:low:high:n", module_name="sweep"
    )
    absl_flags.DEFINE_integer(
        "seeds", 10, "runs of each setting", lower_bound=1, module_name="sweep"
    )
    absl_flags.DEFINE_string("chunk", "auto", "runs on a device in one call", module_name="sweep")
    absl_flags.DEFINE_string(
        "cpu_devices", "auto", "CPU lanes; auto: one a core", module_name="sweep"
    )
    absl_flags.DEFINE_bool("resume", False, "go on with the sweep in workdir", module_name="sweep")


def parse_vary(texts: Sequence[str], seed: int) -> dict[str, list[Any]]:
    """The values of each varied field.

    Args:
        texts: as in `learning_rate=0.3,1,3` or `learning_rate=log:0.01:10:20`.
        seed: of the values drawn for `log` (log-uniform) and `uniform`.

    Raises:
        ValueError: in one line, where a field is unknown, or a value not of its type.
    """
    fields = {field.name: field for field in dataclasses.fields(Config)}
    varied: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if name not in fields or name == "seed" or not (equals and values):
            known = ", ".join(sorted(set(fields) - {"seed"}))
            raise ValueError(f"vary={text}: expected FIELD=VALUES with a field among {known}")
        if name in varied:
            raise ValueError(f"vary={text}: {name} is varied twice")
        kind = fields[name].type
        try:
            if values.startswith(("log:", "uniform:")):
                varied[name] = _draw(values, np.random.default_rng([seed, len(varied)]), kind)
            else:
                varied[name] = [_value(value, kind) for value in values.split(",")]
        except ValueError as error:
            raise ValueError(f"vary={text}: {error}") from None
        if len(set(varied[name])) < len(varied[name]):
            raise ValueError(f"vary={text}: a value stands there twice")
    return varied


def _value(text: str, kind: Any) -> Any:
    if kind in (int, float):
        return kind(text)
    if kind == tuple[int, ...]:
        return tuple(int(units) for units in text.split("x"))
    return text


def _draw(text: str, rng: np.random.Generator, kind: Any) -> list[Any]:
    distribution, *numbers = text.split(":")
    if kind not in (int, float) or len(numbers) != 3:
        raise ValueError(f"expected {distribution}:LOW:HIGH:N, for a field that is a number")
    low, high, count = float(numbers[0]), float(numbers[1]), int(numbers[2])
    if not (low < high and count > 0 and (distribution == "uniform" or low > 0)):
        raise ValueError("expected LOW below HIGH, N above 0, and LOW above 0 for log")
    if distribution == "log":
        drawn = np.exp(rng.uniform(np.log(low), np.log(high), count))
    else:
        drawn = rng.uniform(low, high, count)
    # Four digits: enough to be apart, few enough to be read.
    return [kind(float(f"{value:.4g}")) for value in sorted(drawn)]


def sweep_flags() -> str:
    """What the results of a sweep depend on, a flag a line, as `--flagfile` reads them."""
    own = "".join(f"{flags.FLAGS[name].serialize()}\n" for name in ("seeds", "vary"))
    return flags.config_flags() + own.replace("\n\n", "\n")


def take_up_flags(directory: Path) -> None:
    """Takes over the flags of the sweep in `directory`, where none are given anew.

    Raises:
        ValueError: where flags are given that differ from those of the sweep.
    """
    path = directory / FLAGS_FILE
    if not path.is_file():
        raise ValueError(f"{directory}: no sweep to resume: {FLAGS_FILE} is not there")
    names = [*(field.name for field in dataclasses.fields(Config)), "seeds", "vary"]
    if not any(flags.FLAGS[name].present for name in names):
        flags.FLAGS(["sweep", f"--flagfile={path}"])
    recorded, given = path.read_text().splitlines(), sweep_flags().splitlines()
    if recorded != given:
        differing = [
            f"{a} there, {b} given" for a, b in zip(recorded, given, strict=False) if a != b
        ]
        raise ValueError(
            f"{directory}: the flags are not those of the sweep: {'; '.join(differing)}"
        )


def open_results(path: Path, columns: Sequence[str]) -> dict[int, dict[str, str]]:
    """Makes results.csv, or drops an incomplete last line of it; gives the rows by their run."""
    rows: dict[int, dict[str, str]] = {}
    text = path.read_text() if path.exists() else ""
    complete = text[: text.rfind("\n") + 1]
    for row in csv.DictReader(complete.splitlines()):
        rows[int(row["run"])] = row
    if not complete:
        complete = ",".join(columns) + "\n"
    if complete != text:
        write_atomically(path, complete.encode())
    return rows


def result_rows(
    outcome: sweeps.Outcome, validation_size: int, test_size: int, seconds: float
) -> list[list[str]]:
    """The outcome columns of each run of a finished call."""
    rows = []
    for run in range(len(outcome.test_errors)):
        validation = ["", ""]
        if outcome.validation_loss is not None and outcome.validation_errors is not None:
            accuracy = 1 - int(outcome.validation_errors[run]) / validation_size
            validation = [str(outcome.validation_loss[run]), f"{accuracy:.6g}"]
        rows.append(
            [
                str(outcome.train_loss[run]),
                str(outcome.train_accuracy[run]),
                *validation,
                str(outcome.test_loss[run]),
                f"{1 - int(outcome.test_errors[run]) / test_size:.6g}",
                str(outcome.test_errors[run]),
                f"{seconds:.4g}",
            ]
        )
    return rows


def chunk_size() -> int | None:
    """Runs that a device trains in one call; `None` for auto."""
    text: str = flags.FLAGS.chunk
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"chunk={text}: expected auto or a whole number of at least 1")
    return int(text)


def main() -> None:
    with flags.user_errors(ValueError, OSError):
        use_cpu_lanes()
        directory = flags.workdir("sweep")
        if flags.FLAGS.resume:
            take_up_flags(directory)
        else:
            runs.check_directory(directory, flags.FLAGS.overwrite)
        base, chunk = flags.config(), chunk_size()
        varied = parse_vary(flags.FLAGS.vary, base.seed)
        seeds = range(base.seed, base.seed + flags.FLAGS.seeds)
        configs = sweeps.combinations(base, varied, seeds)
        programs = sweeps.programs(configs)
        splits = {configs[indices[0]]: load(configs[indices[0]]) for indices in programs}
        if not flags.FLAGS.resume:
            runs.clear_directory(
                directory, flags.FLAGS.overwrite, (*FILES, *sweep_figures.PATTERNS)
            )
            write_atomically(directory / FLAGS_FILE, sweep_flags().encode())
        columns = ("run", *varied, "seed", *OUTCOME_COLUMNS)
        rows = open_results(directory / RESULTS_FILE, columns)

    with (
        open(directory / RESULTS_FILE, "a") as file,
        tqdm(total=len(configs), initial=len(rows), unit="run", disable=None) as bar,
        flags.user_errors(OSError),
    ):
        for indices in programs:
            waiting = [index for index in indices if index not in rows]
            if not waiting:
                continue
            data_of_program = splits[configs[indices[0]]]
            sizes = len(data_of_program.validation.labels), len(data_of_program.test.labels)
            started = time.perf_counter()
            calls = sweeps.sweep([configs[index] for index in waiting], data_of_program, chunk)
            for positions, outcome in calls:
                seconds = (time.perf_counter() - started) / len(positions)
                lines = [
                    [str(waiting[position]), *_settings(configs[waiting[position]], varied), *cells]
                    for position, cells in zip(
                        positions, result_rows(outcome, *sizes, seconds), strict=True
                    )
                ]
                file.write("".join(",".join(line) + "\n" for line in lines))
                file.flush()
                bar.update(len(positions))
                started = time.perf_counter()
    with open(directory / RESULTS_FILE, newline="") as file:
        rows_of_all = list(csv.DictReader(file))
    table = sweep_summary.summarise(rows_of_all, list(varied))
    write_atomically(directory / SUMMARY_FILE, sweep_summary.as_csv(table).encode())
    print(sweep_summary.as_text(table, list(varied)))
    try:
        canvas.require()
    except ValueError as error:
        print(f"no figures: {error}")
    else:
        for name, png in sweep_figures.draw(rows_of_all, table, list(varied)).items():
            write_atomically(directory / name, png)
    print(f"files  {directory}")


def load(config: Config) -> data.Splits:
    """The data of a run."""
    return data.load(config.dataset, config.data_dir, config.train_size, config.validation_size)


def _settings(config: Config, varied: dict[str, list[Any]]) -> list[str]:
    values = [getattr(config, name) for name in varied]
    texts = [
        "x".join(map(str, value)) if isinstance(value, tuple) else str(value) for value in values
    ]
    return [*texts, str(config.seed)]


def use_cpu_lanes() -> None:
    """Makes as many CPU devices as `--cpu_devices` says, before JAX first looks for devices."""
    text = flags.FLAGS.cpu_devices
    if text != "auto" and not (text.isdigit() and int(text) > 0):
        raise ValueError(f"cpu_devices={text}: expected auto or a whole number of at least 1")
    lanes = len(os.sched_getaffinity(0)) if text == "auto" else int(text)
    jax.config.update("jax_num_cpu_devices", lanes)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    define_flags()
    flags.run(main)
