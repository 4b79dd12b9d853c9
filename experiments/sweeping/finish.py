"""What a sweep writes and prints at its end."""

import json

import jax

from digits_jax import findings, results
from digits_jax.findings import Found
from digits_jax.reports import drawing
from digits_jax.runs import directories
from digits_jax.runs.directories import RESULTS_FILE, SWEEP_SUMMARY_FILE, VERDICT_FILE
from digits_jax.runs.files import write_atomically
from experiments.cli import flags
from experiments.cli.flags import FLAGS
from experiments.sweeping import best, figures, record, summary
from experiments.sweeping.plan import Plan


def find(plan: Plan) -> Found:
    """What the finished runs of a sweep say of its fields that are not tuned, or of all."""
    assert plan.directory
    _, rows = results.of_sweep(plan.directory)
    names = plan.varied.names
    compared = [name for name in names if name not in plan.varied.tuned] or list(names)
    return findings.find(results.table(rows), names, compared)


def write(plan: Plan, found: Found, seconds: float, chosen: int | None) -> None:
    """Writes verdict, figures and, last, the summary; then prints what there is.

    Args:
        plan: the sweep, in a process that has its directory.
        found: what it has found.
        seconds: what its runs took, without compilation.
        chosen: the run that was trained once more, if one was.
    """
    assert plan.directory
    directory = plan.directory
    home = directories.home(directory)
    told = json.dumps(summary.as_json(found), indent=2) + "\n"
    write_atomically(directory / VERDICT_FILE, told.encode())
    count = len(plan.configs) - len(plan.ended)
    lines = [_pace(count, seconds)] if count else []
    lines += summary.as_text(found)
    pictures: dict[str, bytes] = {}
    try:
        drawing.require()
    except ValueError as error:
        lines.append(f"no figures: {error}")
    else:
        pictures = figures.draw(found)
    for name, png in pictures.items():
        write_atomically(directory / name, png)
    written = ", ".join([RESULTS_FILE, SWEEP_SUMMARY_FILE, VERDICT_FILE, *pictures])
    lines.append(f"files  {home}: {written}")
    if FLAGS.record:
        lines.append(f"record {record.write(FLAGS.record, found, pictures)}")
    if chosen is not None:
        again = f"run {chosen} once more, seed {plan.configs[chosen].seed}"
        lines.append(f"best   {again}: {home / best.FOLDER}, its model also {best.MODEL_FILE}")
    write_atomically(directory / SWEEP_SUMMARY_FILE, summary.as_csv(found.settings).encode())
    directories.replace_earlier(home)
    flags.say(*lines)


def _pace(count: int, seconds: float) -> str:
    device = jax.local_devices()[0]
    line = (
        f"{count:,} runs, {count / seconds:.3g} a second without compilation, on "
        f"{jax.device_count()} devices ({device.device_kind})"
    )
    if memory := device.memory_stats():
        line += f", {memory['peak_bytes_in_use'] / 2**30:.1f} GiB"
    return line
