"""The report of one or more runs: what its page says, and the pictures on it."""

import dataclasses
import functools
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from digits_jax import data
from digits_jax.config import Config
from digits_jax.reports import drawing, figures, page
from digits_jax.reports.sections import LOSS_NAMES, Section, detail
from digits_jax.runs import reading
from digits_jax.runs.reading import Group, Run


class Report(NamedTuple):
    """A page of HTML, its pictures as PNG files by name, and what the reader must be warned of."""

    html: str
    figures: dict[str, bytes]
    warnings: tuple[str, ...]


def make(directories: Sequence[str | os.PathLike[str]]) -> Report:
    """Makes the report of runs, which may differ in anything.

    Runs that differ only in their seed form a group. Learning curves show every group; confusion,
    mistakes, weights and calibration are those of the first run of each.

    Args:
        directories: what `runs.train` wrote: at least one, each once.

    Raises:
        ValueError: in one line, where a directory is given twice or holds no finished run, the data
            of a run cannot be loaded or are not those its model was made for, or matplotlib is not
            installed.
        OSError: where a file cannot be read.
    """
    drawing.require()
    runs = [reading.read(Path(directory)) for directory in directories]
    names = _names(runs)
    groups = reading.group(runs)
    load = functools.lru_cache(maxsize=1)(data.load)  # groups mostly share their data

    sections = [_summary(groups, names), _settings(groups), _learning_curves(groups)]
    for group in groups:
        run = group.runs[0]
        config = run.config
        splits = load(**config.data_settings)
        reading.check_data(run, splits)
        which = f"first of the {len(group.runs)} runs of {group.label or 'this report'}"
        sections.append(detail(run, splits, names[run.directory], which * (len(group.runs) > 1)))

    title = f"Report: {names[runs[0].directory] if len(runs) == 1 else f'{len(runs)} runs'}"
    body = [page.heading(1, title)]
    pictures: dict[str, bytes] = {}
    for section in sections:
        body += section.html
        pictures |= section.figures
    warnings = tuple(warning for section in sections for warning in section.warnings)
    return Report(page.page(title, body), pictures, warnings)


def _names(runs: Sequence[Run]) -> dict[Path, str]:
    """A short name for each run: its folder's, with a number before it where two have the same."""
    folders = [run.directory.resolve() for run in runs]
    for folder, times in Counter(folders).items():
        if times > 1:
            raise ValueError(f"{folder}: given {times} times")
    unique = len({folder.name for folder in folders}) == len(folders)
    return {
        run.directory: folder.name if unique else f"{number}-{folder.name}"
        for number, (run, folder) in enumerate(zip(runs, folders, strict=True), start=1)
    }


def _summary(groups: Sequence[Group], names: dict[Path, str]) -> Section:
    several = len(groups) > 1
    rows = [
        (
            names[run.directory],
            *([group.label] if several else []),
            str(run.config.seed),
            f"{run.summary['test_accuracy']:.2%}",
            f"{run.summary['test_errors']:,}",
            f"{run.summary['test_size']:,}",
            f"{run.summary['test_loss']:.5g}",
            f"{run.summary['parameters']:,}",
            f"{run.summary['epochs']}",
            f"{run.summary['train_seconds']:.2f}",
            run.summary["device"],
        )
        for group in groups
        for run in group.runs + group.repeats
    ]
    header = ["run", *(["group"] if several else []), "seed", "test accuracy", "test errors"]
    header += ["test images", "test loss", "parameters", "epochs", "training, s", "device"]
    html = [
        page.heading(2, "Summary"),
        page.table(header, rows, "As each run's summary.json records it"),
    ]
    if several or len(groups[0].runs) > 1:
        header = ["group", "runs", "seeds", "test accuracy", "test errors", "test loss"]
        caption = "Mean over the seeds of a group ± sample standard deviation"
        html.append(page.table(header, [_statistics(group) for group in groups], caption))
    warnings = tuple(
        f"{names[run.directory]} repeats seed {run.config.seed} of the same settings: "
        "it is left out of means and curves"
        for group in groups
        for run in group.repeats
    )
    return Section(
        [*html, *(page.paragraph(warning, "note") for warning in warnings)], {}, warnings
    )


def _statistics(group: Group) -> tuple[str, ...]:
    def statistics(name: str, form: str) -> str:
        values = [run.summary[name] for run in group.runs]
        mean = format(float(np.mean(values)), form)
        if len(values) == 1:
            return mean
        return f"{mean} ± {format(float(np.std(values, ddof=1)), form)}"

    return (
        group.label or "all runs",
        str(len(group.runs)),
        ", ".join(str(run.config.seed) for run in group.runs),
        statistics("test_accuracy", ".2%"),
        statistics("test_errors", ",.1f"),
        statistics("test_loss", ".5g"),
    )


def _settings(groups: Sequence[Group]) -> Section:
    configs = [group.runs[0].config for group in groups]
    different = reading.differing(configs)
    same = [
        (field.name, reading.setting(configs[0], field.name))
        for field in dataclasses.fields(Config)
        if field.name not in {*different, "seed"}
    ]
    html = [page.heading(2, "Settings")]
    if different:
        header = ["setting", *(group.label for group in groups)]
        rows = [
            (name, *(reading.setting(config, name) for config in configs)) for name in different
        ]
        html.append(page.table(header, rows, "Settings that differ between groups", words=True))
    what = "All settings but the seed" if len(groups) == 1 else "Settings that all groups share"
    html.append(page.details(what, page.table(["setting", "value"], same, what, words=True)))
    return Section(html, {})


def _learning_curves(groups: Sequence[Group]) -> Section:
    pictures = {}
    for loss in dict.fromkeys(group.runs[0].config.loss for group in groups):
        curves = [
            _curve(group, "loss", style)
            for style, group in enumerate(groups)
            if group.runs[0].config.loss == loss
        ]
        quantity = f"loss: {LOSS_NAMES.get(loss, loss)}"
        figure = figures.learning_curves(curves, quantity)
        pictures[f"loss-{loss}"] = (figure, f"{LOSS_NAMES.get(loss, loss)} over epochs")
    curves = [_curve(group, "accuracy", style) for style, group in enumerate(groups)]
    figure = figures.learning_curves(curves, "accuracy", percent=True)
    pictures["accuracy"] = (figure, "accuracy over epochs")

    last = "; ".join(_last_epoch(group) for group in groups)
    band = ""
    if any(len(group.runs) > 1 for group in groups):
        band = (
            " Lines are means over the n seeds of a group, bands reach from the least to the "
            "greatest of them."
        )
    text = (
        "Training figures are means over an epoch's batches, each taken before its update; "
        f"validation is scored after the epoch.{band}"
    )
    files = {name: drawing.png(figure) for name, (figure, _) in pictures.items()}
    html = [page.heading(2, "Learning curves"), page.paragraph(text)]
    shown = [
        page.picture(files[name], f"Learning curves: {what}. After the last epoch: {last}.", what)
        for name, (_, what) in pictures.items()
    ]
    return Section([*html, page.columns(shown)], files)


def _curve(group: Group, metric: str, style: int) -> figures.Curve:
    def values(split: str) -> np.ndarray:
        rows = [[getattr(row, f"{split}_{metric}") for row in run.rows] for run in group.runs]
        # Without validation images there is nothing to draw.
        return np.array([[value for value in row if value is not None] for row in rows])

    return figures.Curve(group.label, values("train"), values("validation"), style)


def _last_epoch(group: Group) -> str:
    rows = [run.rows[-1] for run in group.runs]
    training = np.mean([row.train_accuracy for row in rows])
    words = f"{group.label or 'accuracy'}: training {training:.2%}"
    scored = [row.validation_accuracy for row in rows if row.validation_accuracy is not None]
    return f"{words}, validation {np.mean(scored):.2%}" if scored else words
