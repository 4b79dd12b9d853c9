"""A comparison in words: its answer in some lines, and its tables in Markdown."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from experiments.cli.records import duration, table
from experiments.comparison import checks, trajectory
from experiments.comparison.cost import FORWARD, GRADIENT, STEP
from experiments.comparison.faults import FAULTS
from experiments.comparison.problem import Place
from experiments.comparison.programs import BOTH, DIFFERENT, SAME, SAME_BUT_FOR_BP1
from experiments.comparison.tables import Tables

PLACE = ("network", "batch", "parameters")
GRAPHS = {
    SAME: "autodiff and manual compile to the same program",
    SAME_BUT_FOR_BP1: "different, but with BP1 by jax.grad manual compiles to that of autodiff",
    DIFFERENT: "autodiff and manual compile to different ones",
}


def answer(tables: Tables) -> list[str]:
    """What came out for the network that was asked for: a line for each question."""
    base = tables.exactness[0].place
    both = [row for row in tables.exactness if row.place == base and row.method in BOTH]
    far = [f"{row.method} {row.relative:.1e} ({row.dtype})" for row in both if row.relative]
    lines = [
        f"network   {base.network}, {base.parameters:,} parameters, batch {base.batch_size}",
        f"gradient  relative difference from autodiff in float64: {', '.join(far)}",
    ]
    for dtype in dict.fromkeys(row.dtype for row in tables.trajectory):
        ends = {row.method: row for row in tables.trajectory if row.dtype == dtype}
        away = {name: f", {end.distance:.1e} away" for name, end in ends.items()} | {"autodiff": ""}
        each = [f"{name} {end.test_errors:,}{away[name]}" for name, end in ends.items()]
        steps = ends["autodiff"].step
        lines.append(f"training  {steps:,} updates in {dtype}: test errors {'; '.join(each)}")
    if programs := [row for row in tables.programs if row.place == base]:
        temporary = " and ".join(f"{row.temporary_bytes:,}" for row in programs[:2])
        lines.append(f"programs  {GRAPHS[programs[0].graphs]}; temporary bytes {temporary}")
    for what in (GRADIENT, STEP):
        times = sorted((r.seconds, r) for r in tables.cost if (r.place, r.what) == (base, what))
        each = [f"{row.method} {duration(seconds)} ({row.ratio:.3g})" for seconds, row in times]
        lines.append(f"time      of a {what} (in forward passes): {', '.join(each)}")
    if wrong := tables.verdicts[1:]:
        caught = [f"{name} {sum(name in v.caught_by for v in wrong)}" for name in checks.CHECKS]
        lines.append(f"mistakes  caught of {len(wrong)}: by {', '.join(caught)}")
    return lines


def markdown(tables: Tables, provenance: str, pictures: Mapping[str, str]) -> str:
    """A title, the provenance, and under a heading each every table with its picture, a file."""
    sections = {
        "exactness": ("Exactness", exactness_section),
        "trajectory": ("Trajectory", trajectory_section),
        "programs": ("What XLA makes of it", programs_section),
        "cost": ("Cost", cost_section),
        "faults": ("Mistakes in back-propagation by hand, and what catches them", faults_section),
    }
    parts = ["# Automatic differentiation against back-propagation by hand", provenance]
    for name, (title, section) in sections.items():
        if found := section(tables):
            picture = [f"![{title}]({pictures[name]})"] if name in pictures else []
            parts += [f"## {title}", *found, *picture]
    return "\n\n".join(parts) + "\n"


def pivot(
    header: Sequence[str],
    rows: Iterable[Any],
    line: Callable[[Any], Sequence[Any]],
    column: Callable[[Any], str],
    cell: Callable[[Any], str],
) -> str:
    """A table with a line and a column for each value of `line` and `column`."""
    cells: dict[tuple[Any, ...], dict[str, str]] = {}
    for row in rows:
        cells.setdefault(tuple(line(row)), {})[column(row)] = cell(row)
    columns = list(dict.fromkeys(name for found in cells.values() for name in found))
    lines = [[*key, *(found.get(name, "") for name in columns)] for key, found in cells.items()]
    return table([*header, *columns], lines)


def at(place: Place) -> list[Any]:
    """The cells that name a place."""
    return [place.network, place.batch_size, f"{place.parameters:,}"]


def exactness_section(tables: Tables) -> list[str]:
    reasons: dict[str, dict[str, list[str]]] = {}
    for row in tables.left_out:
        where = f"{row.place.network}, batch {row.place.batch_size}"
        of = reasons.setdefault(f"{row.method} {row.dtype}", {})
        of.setdefault(row.reason, []).append(where)
    places = {row.place for row in tables.exactness} | {row.place for row in tables.left_out}
    left_out = []
    for name, of in reasons.items():
        wheres = ["everywhere" if len(w) == len(places) else ", ".join(w) for w in of.values()]
        why = (f"{where}: {reason}" for where, reason in zip(wheres, of, strict=True))
        left_out.append(f"- {name} left out. {'; '.join(why)}.")
    return [
        "Largest difference of an element from `autodiff` in float64 over the largest element of "
        "its array. Parameters and pixels are rounded to bfloat16 first, so that every type "
        "computes with the same numbers.",
        pivot(
            [*PLACE, "type"],
            tables.exactness,
            lambda row: [*at(row.place), row.dtype],
            lambda row: row.method,
            lambda row: f"{row.relative:.1e}",
        ),
        "\n".join(left_out),
    ]


def trajectory_section(tables: Tables) -> list[str]:
    rows = tables.trajectory
    marks = {*trajectory.MARKS, rows[-1].step}
    largest = max((row.distance for row in rows if row.dtype == "float64"), default=0.0)
    within = "within" if largest <= trajectory.BOUND else "NOT within"
    return [
        "Euclidean distance of all parameters after training from the same start on the same "
        f"batches, and errors on the test images at the end. In float64 the largest distance of "
        f"the whole way is {largest:.1e}: {within} {trajectory.BOUND:.0e}.",
        pivot(
            ["trained with", "test errors", "distance from"],
            [row for row in rows if row.step in marks],
            lambda row: (f"{row.method} {row.dtype}", f"{row.test_errors:,}", row.reference),
            lambda row: f"step {row.step:,}",
            lambda row: f"{row.distance:.1e}",
        ),
    ]


def programs_section(tables: Tables) -> list[str]:
    if not tables.programs:
        return []
    figures = ["FLOPs", "bytes accessed", "temporary bytes", "instructions"]
    lines = [
        [*at(row.place), row.program, row.method, *map("{:,.0f}".format, row[4:8]), row.graphs]
        for row in tables.programs
    ]
    return [
        f"The optimised programs in {tables.programs[0].dtype}. `{SAME}`: the same graph, once "
        f"names, metadata and the order of the text are taken out. `{SAME_BUT_FOR_BP1}`: it is, "
        "once the derivative at the outputs is that of `jax.grad`, which multiplies by 1/batch "
        "where the equation divides. Instructions are counted in all computations, inside fusions "
        "too, without parameters.",
        table([*PLACE, "program", "method", *figures, "graphs"], lines),
    ]


def cost_section(tables: Tables) -> list[str]:
    timed = [row for row in tables.cost if row.what != FORWARD]

    def times(what: str) -> str:
        return pivot(
            PLACE,
            [row for row in timed if row.what == what],
            lambda row: at(row.place),
            lambda row: f"{row.method}, {row.dtype}",
            lambda row: f"{duration(row.seconds)} ({row.ratio:,.3g})",
        )

    counts = [row.n for row in timed]
    return [
        "Median time of a call, all measured in turn, and in parentheses its ratio to the forward "
        "pass (the loss alone, compiled by XLA, in the same type); "
        f"n from {min(counts):,} to {max(counts):,} calls. Calls of small compiled programs "
        "include some 10 microseconds of Python and dispatch. One gradient:",
        times(GRADIENT),
        "One training step:",
        times(STEP),
    ]


def faults_section(tables: Tables) -> list[str]:
    lines = []
    for row in tables.verdicts:
        evidence = (
            f"{row.disagreement:.1e} in {row.worst_array}",
            f"{row.first_loss:.3f} to {row.last_loss:.3f}",
            f"{row.accuracy:.2%} ± {row.accuracy_deviation:.2%}",
        )
        cells = [
            f"{'**caught**' if check in row.caught_by else 'not caught'}: {seen}"
            for check, seen in zip(checks.CHECKS, evidence, strict=True)
        ]
        lines.append([row.fault, FAULTS[row.fault].mistake, *cells])
    if not lines:
        return []
    return [
        f"`manual` with each mistake, trained with n={tables.verdicts[0].n} seeds. The gradient "
        "check compares with central differences in float64 (caught: relative disagreement above "
        f"{checks.TOLERANCE:.0e}); the loss curve is looked at alone (caught: falls by less than "
        f"{checks.FALL:.0%}); accuracy needs the right gradient beside it (caught: every run worse "
        "than every right one).",
        table(["fault", "mistake", *checks.CHECKS], lines),
    ]
