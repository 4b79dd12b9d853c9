"""The report of one or more runs: what its page says, and the pictures on it."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from digits_jax import data
from digits_jax.reports import drawing, figures, sweep
from digits_jax.reports.detail import detail
from digits_jax.reports.page import (
    Picture,
    element,
    mean_and_deviation,
    page,
    percent,
    picture,
    section,
    table,
)
from digits_jax.runs import reading
from digits_jax.runs.history import Row
from digits_jax.runs.identity import data_sha256
from digits_jax.runs.reading import Group, Unfinished

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Column, name in summary.json, and format: of a run, then of means over seeds.
SUMMARY = (
    ("test accuracy", "test_accuracy", "%"),
    ("test errors", "test_errors", ",d"),
    ("test images", "test_size", ",d"),
    ("test loss", "test_loss", ".4g"),
    ("parameters", "parameters", ",d"),
    ("epochs", "epochs", "d"),
    ("training, s", "train_seconds", ".2f"),
    ("device", "device", "s"),
)
MEANS = {
    "test accuracy": "test_accuracy",
    "test errors": "test_errors",
    "test loss": "test_loss",
}


class Report(NamedTuple):
    """A page of HTML, the figures on it by name, and what the reader must be warned of."""

    html: str
    figures: dict[str, "Figure"]
    warnings: tuple[str, ...]


def make(
    directories: Sequence[str | os.PathLike[str]], data_dir: str | os.PathLike[str] | None = None
) -> Report:
    """Makes the report of runs, which may differ in anything.

    Runs that differ only in their seed form a group. Learning curves show every group; confusion,
    mistakes, weights and calibration are those of the first run of each.

    Args:
        directories: what `runs.train` wrote, or a sweep: at least one, each once. Of runs that are
            not finished, there are learning curves; of a sweep, its settings and its best run.
        data_dir: where their data are now, if they have moved.

    Raises:
        ValueError: in one line, where a directory is given twice or holds no run, the data
            of a run cannot be loaded or are not those its model was made for, or matplotlib is not
            installed.
        OSError: where a file cannot be read.
    """
    drawing.require()
    folders = reading.each_once(map(Path, directories))
    unfinished = [reading.read_unfinished(f) for f in folders if reading.is_unfinished(f)]
    sweeps = [folder for folder in folders if reading.is_sweep(folder)]
    runs = reading.read_all(
        folder
        for folder in folders
        if not reading.is_unfinished(folder)
        and (folder not in sweeps or reading.of_sweep(folder) != folder)
    )
    groups = reading.group(runs) if runs else []
    load = functools.lru_cache(maxsize=1)(data.load)  # groups mostly share their data

    one = folders[0].resolve().name
    title = f"Report: {one if len(folders) == 1 else f'{len(folders)} runs'}"
    body = [element("h1", title), *map(sweep.settings, sweeps)]
    if groups:
        body += [_summary(groups), _settings(groups)]
    body += [_unfinished(run) for run in unfinished]
    if groups or any(run.rows for run in unfinished):
        body.append(_learning_curves(groups, [run for run in unfinished if run.rows]))
    for group in groups:
        run = group.runs[0]
        moved = {} if data_dir is None else {"data_dir": data_dir}
        splits = load(**run.config.data_settings | moved)
        reading.check_data(run, splits)
        if run.model.data not in ("", data_sha256(splits)):
            warning = f"{run.name}: the data here are not those that it was trained and scored on"
            body.append(element("p", warning, class_="note"))
        body.append(detail(group.runs, splits))
    return Report(
        html=page(title, body),
        figures={
            image.name: image.figure
            for part in body
            for image in part.iter("img")
            if isinstance(image, Picture)
        },
        warnings=tuple(
            paragraph.text or ""
            for part in body
            for paragraph in part.iter("p")
            if paragraph.get("class") == "note"
        ),
    )


def _summary(groups: Sequence[Group]) -> Element:
    named = len(groups) > 1 and any(run.name != g.label for g in groups for run in g.runs)
    header = ["run", *["group"] * named, "seed", *(column for column, _, _ in SUMMARY)]
    rows = [
        (
            *(run.name, *[group.label] * named, str(run.config.seed)),
            *(
                percent(run.summary[name], run.summary["test_size"])
                if form == "%"
                else format(run.summary[name], form)
                for _, name, form in SUMMARY
            ),
        )
        for group in groups
        for run in group.runs + group.repeats
    ]
    content = [table(header, rows, "As each run's summary.json records it")]
    if any(len(group.runs) > 1 for group in groups):
        header = ["group", "runs", "seeds", *MEANS]
        caption = "Mean over the seeds of a group ± sample standard deviation"
        content.append(table(header, [_means(group) for group in groups], caption))
    for run in (run for group in groups for run in group.repeats):
        warning = f"{run.name} repeats seed {run.config.seed} of the same settings: "
        content.append(element("p", f"{warning}it is left out of means and curves", class_="note"))
    return section("Summary", *content)


def _means(group: Group) -> tuple[str, ...]:
    def mean(name: str) -> str:
        factor, unit = (100, "%") if name == "test_accuracy" else (1, "")
        return mean_and_deviation([factor * float(run.summary[name]) for run in group.runs], unit)

    seeds = ", ".join(str(run.config.seed) for run in group.runs)
    return group.label or "all runs", str(len(group.runs)), seeds, *map(mean, MEANS.values())


def _settings(groups: Sequence[Group]) -> Element:
    different, same = reading.settings([group.runs[0] for group in groups])
    content = []
    if different:
        header = ["setting", *(group.label for group in groups)]
        rows = [(name, *values) for name, values in different.items()]
        content.append(table(header, rows, "Settings that differ between groups", words=True))
    what = "Settings that all groups share" if different else "All settings but the seed"
    shared = table(["setting", "value"], same.items(), what, words=True)
    return section("Settings", *content, element("details", element("summary", what), shared))


def _unfinished(run: Unfinished) -> Element:
    text = f"{run.name} is not finished: epoch {len(run.rows)} of {run.config.epochs}."
    if run.rows:
        row = run.rows[-1]
        text += f" Training loss {row.train_loss:.3g}, accuracy {row.train_accuracy:.2%}"
        text += (
            "."
            if row.validation_accuracy is None
            else f"; validation accuracy {row.validation_accuracy:.2%}."
        )
    return section(f"Under way: {run.name}", element("p", text))


def _learning_curves(groups: Sequence[Group], unfinished: Sequence[Unfinished]) -> Element:
    text = (
        "Training figures are means over an epoch's batches, each taken before its update; "
        "validation is scored after the epoch."
    )
    if any(len(group.runs) > 1 for group in groups):
        text += (
            " Lines are means over the n seeds of a group, bands reach from the least to the "
            "greatest of them."
        )
    # Unfinished ones are drawn as groups of one, by their names.
    drawn = [(group.label, [run.rows for run in group.runs]) for group in groups]
    if unfinished and len(groups) == 1:
        drawn = [(groups[0].runs[0].name, drawn[0][1])]
    single = not groups and len(unfinished) == 1
    drawn += [("" if single else run.name, [run.rows]) for run in unfinished]
    last = "; ".join(_last_epoch(*curve) for curve in drawn)
    losses = [group.runs[0].config.loss for group in groups]
    losses += [run.config.loss for run in unfinished]
    shown = []
    for loss in (*dict.fromkeys(losses), None):
        metric, name = ("loss", f"{loss} loss") if loss else ("accuracy", "accuracy")
        curves = [
            _curve(label, runs, metric, style)
            for style, (label, runs) in enumerate(drawn)
            if loss in (None, losses[style])
        ]
        figure = figures.learning_curves(curves, name, shares=loss is None)
        description = f"Learning curves: {name} over epochs. After the last epoch: {last}."
        file = f"loss-{loss}" if loss else "accuracy"
        shown.append(picture(file, figure, description, f"{name} over epochs"))
    content = element("p", text), element("div", *shown, class_="columns")
    return section("Learning curves", *content)


def _curve(label: str, runs: Sequence[tuple[Row, ...]], metric: str, style: int) -> figures.Curve:
    def values(split: str) -> np.ndarray:
        table = np.full((len(runs), max(map(len, runs))), np.nan)
        for line, rows in zip(table, runs, strict=True):
            line[: len(rows)] = [getattr(row, f"{split}_{metric}") for row in rows]
        return table  # None becomes NaN

    return figures.Curve(label, values("train"), values("validation"), style)


def _last_epoch(label: str, runs: Sequence[tuple[Row, ...]]) -> str:
    last = [rows[-1] for rows in runs]
    words = f"{label or 'accuracy'}: training {np.mean([r.train_accuracy for r in last]):.2%}"
    validation = [r.validation_accuracy for r in last if r.validation_accuracy is not None]
    return f"{words}, validation {np.mean(validation):.2%}" if validation else words
