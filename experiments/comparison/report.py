"""The tables of a comparison in Markdown, ready to be put on record."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from experiments.cli.records import duration, provenance, table
from experiments.comparison import cost, exactness, faults, programs, source, trajectory
from experiments.comparison.markdown import left_out, pivot
from experiments.comparison.methods import METHODS
from experiments.comparison.tables import Tables

REFERENCE = ("autodiff", "float64")


def markdown(tables: Tables, command: str, seconds: float) -> str:
    """Machine, versions and command, then every table under a heading of its own."""
    sections = [
        provenance(command, seconds, jax.devices()[0].device_kind),
        exactness_section(tables.exactness),
        trajectory_section(tables.trajectory, tables.test_errors),
        programs_section(tables.programs, tables.instructions),
        cost_section(tables.cost),
        source_section(tables.source),
        faults_section(tables.faults),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def exactness_section(rows: Sequence[exactness.Row]) -> str:
    """Table 1."""
    classic = [row for row in rows if (row.network, row.batch_size) == _place(rows[0])]
    arrays = list(dict.fromkeys(row.array for row in classic if row.array))
    lines = []
    for method, dtype in dict.fromkeys((row.method, row.dtype) for row in classic):
        cells = {
            row.array: f"{row.absolute:.1e} ({row.relative:.1e})"
            for row in classic
            if (row.method, row.dtype) == (method, dtype) and row.absolute is not None
        }
        if cells and (method, dtype) != REFERENCE:
            lines.append([method, dtype, *(cells[array] for array in arrays)])
    parts = [
        "### 1. Exactness",
        "Largest difference of an element from `autodiff` in float64, and in parentheses the same "
        "over the largest element of the array. Parameters and pixels are rounded to bfloat16 "
        "first, so that every type computes with the same numbers.\n"
        f"{rows[0].network}, batch {rows[0].batch_size}:",
        table(["method", "type", *arrays], lines),
        "Over the sweeps, the largest relative difference of all arrays:",
    ]
    for dtype in dict.fromkeys(row.dtype for row in rows):
        runs = [row for row in rows if row.dtype == dtype and not row.note.startswith("runs in")]
        parts += [f"{dtype}:", pivot(runs, _largest, lambda row: row.method)]
    return "\n\n".join(part for part in [*parts, left_out(rows)] if part)


def _place(row: Any) -> tuple[str, int]:
    return row.network, row.batch_size


def _largest(rows: Sequence[exactness.Row]) -> str:
    relative = [row.relative for row in rows if row.relative is not None]
    if (rows[0].method, rows[0].dtype) == REFERENCE:
        return "reference"
    return f"{max(relative):.1e}" if relative else "left out"


def trajectory_section(rows: Sequence[trajectory.Row], ends: Sequence[trajectory.EndRow]) -> str:
    """Table 2."""
    if not ends:
        return ""
    marks = sorted({*trajectory.MARKS, ends[0].steps_per_epoch})
    lines = []
    for method, dtype, reference in dict.fromkeys(row[:3] for row in rows):
        far = {row.step: row.distance for row in rows if row[:3] == (method, dtype, reference)}
        lines.append([f"{method} {dtype}", reference, *(f"{far[mark]:.1e}" for mark in marks)])
    header = ["trained with", "distance from", *(f"step {mark:,}" for mark in marks)]
    largest = max((row.distance for row in rows if row.dtype == "float64"), default=None)
    verdict = ""
    if largest is not None:
        within = "within" if largest <= trajectory.BOUND else "NOT within"
        verdict = (
            f"In float64 the largest distance of the whole way is {largest:.1e}: "
            f"{within} {trajectory.BOUND:.0e}."
        )
    errors = table(
        ["trained with", "test errors"],
        [
            [f"{end.method} {end.dtype}", f"{end.test_errors:,} of {end.test_size:,}"]
            for end in ends
        ],
    )
    parts = [
        "### 2. Trajectory",
        "Euclidean distance of all parameters after training from the same start on the same "
        f"batches; an epoch is {ends[0].steps_per_epoch:,} steps.",
        table(header, lines),
        verdict,
        errors,
    ]
    return "\n\n".join(part for part in parts if part)


def programs_section(rows: Sequence[programs.Row], instructions: Sequence[programs.KindRow]) -> str:
    """Table 3."""
    if not rows:
        return ""
    pairs = list(zip(rows[::2], rows[1::2], strict=True))  # autodiff, manual
    lines = []
    for a, m in pairs:
        figures = [
            f"{x:,.0f} / {y:,.0f}" if x is not None and y is not None else "not told"
            for x, y in zip(a[5:9], m[5:9], strict=True)
        ]
        own = f"{a.own_instructions} / {m.own_instructions}"
        verdict = "identical" if a.same else "different"
        lines.append([a.network, a.batch_size, a.program, *figures, own, verdict])
    same = sum(a.same for a, _ in pairs)
    classic = [row for row in instructions if row[:3] == instructions[0][:3]]
    kinds = [row for row in classic if row.by == "opcode"]
    different = [row for row in classic if row.by == "instruction" and row.autodiff != row.manual]
    header = ["network", "batch", "program", "FLOPs", "bytes accessed", "temporary bytes"]
    return "\n\n".join(
        [
            "### 3. What XLA makes of it",
            f"The optimised programs in {rows[0].dtype}, `autodiff` / `manual`. Instructions are "
            "counted in all computations, inside fusions and reductions too, without parameters; "
            "the last but one column counts those that the other program has no like of (the same "
            "kind, shapes and attributes). `identical`: the same graph once names, metadata and "
            f"the order of the text are taken out. Identical: {same} of {len(pairs)}.",
            table([*header, "instructions", "without a like", "programs"], lines),
            f"{rows[0].network}, batch {rows[0].batch_size}, gradient, by kind:",
            table(
                ["instruction", "autodiff", "manual", ""],
                [[k.instruction, k.autodiff, k.manual, _same(k)] for k in kinds],
            ),
            "and the instructions that differ in number:" if different else "No other difference.",
            table(
                ["instruction", "autodiff", "manual"],
                [[f"`{d.instruction}`", d.autodiff, d.manual] for d in different],
            )
            if different
            else "",
        ]
    ).strip()


def _same(row: programs.KindRow) -> str:
    return "same" if row.autodiff == row.manual else "differs"


def cost_section(rows: Sequence[cost.Row]) -> str:
    """Table 4."""

    def cell(kind: str) -> Callable[[Sequence[cost.Row]], str]:
        def text(rows: Sequence[cost.Row]) -> str:
            (row,) = rows
            if getattr(row, f"{kind}_seconds") is None:
                return "left out"
            seconds, ratio = getattr(row, f"{kind}_seconds"), getattr(row, f"{kind}_ratio")
            return f"{duration(seconds)} ({ratio:,.3g})"

        return text

    def column(row: cost.Row) -> str:
        return f"{row.method}, {row.dtype}"

    counts = [row.gradient_n for row in rows if row.gradient_n]
    ratios = {
        method: [row.gradient_ratio for row in rows if row.method == method and row.gradient_ratio]
        for method in dict.fromkeys(row.method for row in rows)
    }
    return "\n\n".join(
        part
        for part in [
            "### 4. Cost",
            "Median time of one call after a first, and in parentheses its ratio to the forward "
            "pass (the loss alone, compiled by XLA, in the same type); "
            f"n from {min(counts, default=0):,} to {max(counts, default=0):,} calls, each in "
            "comparison.csv. Calls of small compiled programs include some 10 microseconds or more "
            "of Python and dispatch. One gradient:",
            pivot(rows, cell("gradient"), column),
            "One training step (NumPy: the peer's own update):",
            pivot(rows, cell("step"), column),
            table(
                ["method", "gradient / forward pass, least", "largest", "grows with parameters as"],
                [
                    [name, f"{min(r):,.3g}", f"{max(r):,.3g}", _growth(rows, name)]
                    for name, r in ratios.items()
                    if r
                ],
            ),
            left_out(rows),
        ]
        if part
    )


def _growth(rows: Sequence[cost.Row], method: str) -> str:
    """The slope of the ratio over the parameters, log-log, over widths alone."""
    points = [
        (row.parameters, row.gradient_ratio)
        for row in rows
        if row.method == method
        and row.gradient_ratio
        and row.batch_size == rows[0].batch_size
        and row.network.count("-") == 2
    ]
    if len({parameters for parameters, _ in points}) < 2:
        return "one size only"
    logs = np.log(np.array(points))
    return f"n^{np.polyfit(logs[:, 0], logs[:, 1], 1)[0]:.2f}"


def source_section(rows: Sequence[source.Row]) -> str:
    """Table 5."""
    return "\n\n".join(
        [
            "### 5. Source",
            "Lines of code without blank lines, comments and docstrings, of what a method takes "
            "beyond the model and the loss that JAX is given; NumPy has its forward pass, "
            "activations and losses to itself.",
            table(
                ["method", "what it is", "lines", "functions"],
                [[r.method, METHODS[r.method].description, r.lines, r.functions] for r in rows],
            ),
        ]
    )


def _epochs(number: int) -> str:
    return f"{number} epoch{'s' if number > 1 else ''}"


def faults_section(rows: Sequence[faults.Row]) -> str:
    """What back-propagation by hand is good for."""
    if not rows:
        return ""

    def verdict(caught: bool, evidence: str) -> str:
        return f"{'**caught**' if caught else 'not caught'}: {evidence}"

    lines = [
        [
            row.fault,
            row.mistake,
            verdict(row.caught_by_gradient_check, f"{row.disagreement:.1e} in {row.worst_array}"),
            verdict(row.caught_by_loss_curve, f"{row.first_loss:.3f} to {row.last_loss:.3f}"),
            verdict(
                row.caught_by_accuracy,
                f"{row.accuracy:.2%} ± {row.accuracy_deviation:.2%}",
            ),
        ]
        for row in rows
    ]
    return "\n\n".join(
        [
            "### What back-propagation by hand is good for: mistakes, and what catches them",
            f"Each mistake in a copy of `manual`, trained for {_epochs(rows[0].epochs)}, "
            f"n={rows[0].n} seeds. The gradient check compares with central differences in float64 "
            f"(caught: relative disagreement above {faults.TOLERANCE:.0e}); the loss curve is "
            f"looked at alone (caught: falls by less than {faults.FALL:.0%}); accuracy needs the "
            "right gradient beside it (caught: every run worse than every right one).",
            table(["fault", "mistake", "gradient check", "loss curve", "test accuracy"], lines),
        ]
    )
