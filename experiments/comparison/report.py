"""A comparison in words: its answer in some lines, and its tables in Markdown."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from experiments.cli.records import duration, table
from experiments.comparison import checks, trajectory
from experiments.comparison.checks import FAULTS
from experiments.comparison.cost import FORWARD, GRADIENT, STEP
from experiments.comparison.problem import Place
from experiments.comparison.programs import DIFFERENT, SAME, SAME_BUT_FOR_BP1
from experiments.comparison.tables import Tables

PLACE = ("network", "batch", "parameters")
# Beyond this share of its array's largest element, a gradient is not right.
WRONG = {"float64": 1e-6, "float32": 1e-3}
GRAPHS = {
    SAME: "autodiff and manual compile to the same program",
    SAME_BUT_FOR_BP1: "different, but with BP1 by jax.grad manual compiles to that of autodiff",
    DIFFERENT: "autodiff and manual compile to different ones",
}


def wrong(tables: Tables) -> list[str]:
    """Each method whose gradient is wrong somewhere: by how much, in which array and where."""
    found: dict[str, Any] = {}
    for row in tables.exactness:
        far = not row.relative <= WRONG.get(row.dtype, float("inf"))
        if far and not row.relative <= getattr(found.get(row.method), "relative", 0.0):
            found[row.method] = row
    return [
        f"{name}: {row.array}, off by {row.relative:.1e} of its largest element "
        f"({row.place.network}, batch {row.place.batch_size}, {row.dtype})"
        for name, row in found.items()
    ]


def worst(tables: Tables) -> dict[str, dict[str, float]]:
    """The largest difference over all networks and batches, by type and method."""
    found: dict[str, dict[str, float]] = {}
    for row in tables.exactness:
        of = found.setdefault(row.dtype, {})
        of[row.method] = max(of.get(row.method, 0.0), row.relative)
    return found


def answer(tables: Tables) -> list[str]:
    """What came out: a line for each question."""
    base = tables.exactness[0].place
    far = worst(tables)
    dtype = "float64" if "float64" in far else next(iter(far))
    each = [f"{name} {value:.1e}" for name, value in far[dtype].items() if value]
    places = len({row.place for row in tables.exactness})
    lines = [
        f"network   {base.network}, {base.parameters:,} parameters, batch {base.batch_size}",
        f"gradient  worst relative difference from autodiff in float64, over {places} networks and "
        f"batches: {', '.join(each)} ({dtype})",
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
    if planted := tables.verdicts[1:]:
        hidden = []
        for check in checks.CHECKS:
            missed = [v.fault for v in planted if check not in v.caught_by]
            hidden.append(f"{check} misses {', '.join(missed) or 'none'}")
        lines.append(f"mistakes  of {len(planted)}: {'; '.join(hidden)}")
    return lines


def left_out(tables: Tables) -> str:
    """What was not tried and why, on one line."""
    reasons: dict[str, dict[str, None]] = {}
    for row in tables.left_out:
        slow = "forward passes" in row.reason
        reason = "one gradient would take too long" if slow else row.reason
        reasons.setdefault(reason, {})[row.method] = None
    each = (f"{', '.join(methods)} ({reason})" for reason, methods in reasons.items())
    return f"Left out, here or there: {'; '.join(each)}." if reasons else ""


def markdown(
    tables: Tables, provenance: str, pictures: Mapping[str, str], problems: Sequence[str] = ()
) -> str:
    """The answer on the first screen; then under a heading each table with its picture, a file."""
    sections = {
        "exactness": ("Exactness", exactness_section),
        "trajectory": ("Trajectory", trajectory_section),
        "programs": ("What XLA makes of it", programs_section),
        "cost": ("Cost", cost_section),
        "faults": ("Mistakes in back-propagation by hand, and what catches them", faults_section),
    }
    verdict = [f"**WRONG** {line}" for line in problems] or ["**All gradients agree.**"]
    said = [line.split(maxsplit=1) for line in answer(tables)]
    listed = "\n".join(f"- **{name}**: {text}" for name, text in said)
    parts = ["# Automatic differentiation against back-propagation by hand", *verdict, listed]
    for name, (title, section) in sections.items():
        if found := section(tables):
            picture = [f"![{title}]({pictures[name]})"] if name in pictures else []
            parts += [f"## {title}", *found, *picture]
    return "\n\n".join([*parts, *filter(None, [left_out(tables)]), provenance]) + "\n"


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
    far = worst(tables)
    methods = list(dict.fromkeys(name for of in far.values() for name in of))
    lines = [
        [dtype, *(f"{of[name]:.1e}" if name in of else "" for name in methods)]
        for dtype, of in far.items()
    ]
    return [
        "The largest difference of an element from `autodiff` in float64 over the largest element "
        "of its array: the worst of all networks and batches, which comparison.csv lists. "
        "Parameters and pixels are rounded to bfloat16 first, so that every type starts from the "
        "same numbers.",
        table(["type", *methods], lines),
    ]


def trajectory_section(tables: Tables) -> list[str]:
    rows = tables.trajectory
    marks = {*trajectory.MARKS, rows[-1].step}
    largest = max((row.distance for row in rows if row.dtype == "float64"), default=0.0)
    within = "within" if largest <= trajectory.BOUND else "NOT within"
    return [
        "Euclidean distance of all parameters after training from the same start on the same "
        "batches. In float64 the largest distance of the whole way is "
        f"{largest:.1e}: {within} {trajectory.BOUND:.0e}.",
        pivot(
            ["trained with", "test errors", "distance from"],
            [row for row in rows if row.step in marks],
            lambda row: (f"{row.method} {row.dtype}", f"{row.test_errors:,}", row.reference),
            lambda row: f"step {row.step:,}",
            lambda row: f"{row.distance:.1e}",
        ),
    ]


def programs_section(tables: Tables) -> list[str]:
    figures = ["FLOPs", "bytes accessed", "temporary bytes", "instructions"]
    pairs = zip(tables.programs[::2], tables.programs[1::2], strict=True)
    lines = [
        [
            *at(first.place),
            first.program,
            *(f"{a:,.0f} / {b:,.0f}" for a, b in zip(first[4:8], second[4:8], strict=True)),
            first.graphs,
        ]
        for first, second in pairs
    ]
    if not lines:
        return []
    return [
        f"The optimised programs of `autodiff` / `manual` in {tables.programs[0].dtype}. `{SAME}`: "
        "the same graph, once names, metadata and the order of the text are taken out. "
        f"`{SAME_BUT_FOR_BP1}`: it is, once the derivative at the outputs is that of `jax.grad`, "
        "which multiplies by 1/batch where the equation divides.",
        table([*PLACE, "program", *figures, "graphs"], lines),
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
        lines.append([row.fault, FAULTS[row.fault], *cells])
    if not lines:
        return []
    return [
        f"`manual` with each mistake, trained with n={tables.verdicts[0].n} seeds. The gradient "
        "check compares with `jax.grad` in float64 (caught: a difference above "
        f"{checks.TOLERANCE:.0e} of an array's largest element); the loss curve is looked at alone "
        f"(caught: falls by less than {checks.FALL:.0%}); accuracy needs the right gradient beside "
        "it (caught: every run worse "
        "than every right one).",
        table(["fault", "mistake", *checks.CHECKS], lines),
    ]
