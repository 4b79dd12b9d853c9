"""How a script that trains begins, joins others in a job, goes on and is stopped.

Process 0 of a job alone reads and writes the folder. With `--resume` its flags are read back there
and taken over by all processes; what is given besides may not contradict them.
"""

import contextlib
import dataclasses
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags as absl_flags

from digits_jax import runs
from digits_jax.config import Config
from digits_jax.parallel import distributed
from digits_jax.parallel.distributed import Job
from digits_jax.parallel.mesh import largest
from digits_jax.runs import directories
from experiments.cli import compilation_cache, entries, flags, job, signals
from experiments.cli.flags import FLAGS


class Script(NamedTuple):
    """A script that can be resumed, and what its folder holds.

    Attributes:
        name: the script, as in train.
        what: it makes, as in run.
        files: by which a folder is known as one of its own.
        flags: that results depend on, beside those of Config.
        kept: flags that results do not depend on; kept with the run all the same.
        grows: whether a run of such settings may get more epochs; `None`: never.
    """

    name: str
    what: str
    files: tuple[str, ...]
    flags: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    grows: Callable[[Any], bool] | None = None

    @property
    def all_flags(self) -> tuple[str, ...]:
        """Everything that flags.txt may hold."""
        fields = (field.name for field in dataclasses.fields(Config))
        return (entries.NAME, *fields, *self.flags, *self.kept)


def define(script: Script) -> None:
    """Defines where a script writes, whether it goes on there, and the job that it joins."""
    flags.define_workdir()
    text = f"go on with the {script.what} in workdir, with its flags"
    absl_flags.DEFINE_bool("resume", False, text, module_name="run")
    job.define()


def stored_flags(script: Script) -> str:
    """What flags.txt holds: a flag a line, as `--flagfile` reads them."""
    kept = (name for name in script.kept if FLAGS[name].value != FLAGS[name].default)
    lines = [FLAGS[name].serialize() for name in (*script.flags, *kept)]
    return flags.config_flags(flags.config()) + "".join(f"{line}\n" for line in lines if line)


def begin(script: Script, here: Job) -> Path | None:
    """The folder that process 0 is to write into, checked; with `--resume`, its flags are these.

    Returns:
        `None` in all other processes, and where the folder is still to be made.

    Raises:
        ValueError: where a process of the job has other flags, the folder is not empty, or with
            `--resume` holds nothing to go on with, or a flag contradicts those in it.
        OSError: where they cannot be read.
    """
    job.check_same_flags(here)
    directory = flags.workdir("") if here.is_primary and FLAGS.workdir is not None else None
    if here.is_primary and FLAGS.resume:
        if directory is None or FLAGS.overwrite:
            raise ValueError(f"--resume needs --workdir={script.what.upper()}, and no --overwrite")
        _read(script, directory)
    elif directory:
        directories.check(directory, FLAGS.overwrite)
    if FLAGS.resume and here.processes > 1:
        text = distributed.share(here, "flags to go on with", stored_flags(script))
        if not here.is_primary:  # which may keep its data elsewhere
            own_data = FLAGS.data_dir
            _put(script, text.splitlines())
            FLAGS["data_dir"].value = own_data or FLAGS.data_dir
    return directory


def run(
    script: Script,
    prepare: Callable[[contextlib.ExitStack, Job], Any],
    train: Callable[[Any, Callable[[], bool]], str | None],
) -> int | None:
    """Joins a job, prepares and trains, until the end or until a signal asks for a stop.

    Args:
        script: the script.
        prepare: checks what the user gave, enters what is to be held until the end, and gives what
            is to be done, or `None` for nothing. Its `directory` is that of process 0.
        train: does it. It asks its last argument, which is the same in all processes of a job,
            whether it is to stop; then it gives what it did so after, as in "epoch 3 of 30".

    Returns:
        The exit status: as of a process that the signal ended, where it stopped.
    """
    compilation_cache.use()
    with flags.user_errors(ValueError, RuntimeError):
        here = job.join()
    with signals.stop_requested() as asked, contextlib.ExitStack() as held:
        with flags.user_errors(ValueError):
            plan = prepare(held, here)
        after = plan and train(plan, lambda: largest(asked()) > 0)
        if not (plan and after):
            return None
        if plan.directory:
            folder = shlex.quote(str(plan.directory))
            command = f"python -m experiments.{script.name} --resume --workdir={folder}"
            print(f"stopped after {after}; to go on: {command}")
        return 128 + largest(asked())


def _read(script: Script, directory: Path) -> None:
    """Takes over the flags of the run in `directory`, with what may change in them."""
    for name in script.files:
        if not (directory / name).is_file():
            raise ValueError(f"{directory} holds no {script.what} to resume: it has no {name}")
    path = directory / runs.FLAGS_FILE
    given = {
        name: (FLAGS[name].value, " ".join(FLAGS[name].serialize().split()))
        for name in script.all_flags
        if FLAGS[name].present
    }
    stored = path.read_text("utf-8", "replace")
    if "\n--seed=" not in stored or not stored.endswith("\n"):  # every script writes it
        raise ValueError(f"{path} is damaged: it does not hold all flags of the {script.what}")
    try:
        _put(script, stored.splitlines())
    except absl_flags.Error as error:
        raise ValueError(f"{path}: {error}") from None
    for name, (ours, text) in given.items():
        if ours == flags.ALL:
            ours = flags.everything()
        theirs: Any = FLAGS[name].value
        there = " ".join(FLAGS[name].serialize().split())
        contradiction = f"{text} contradicts {there or f'{name} unset'} of the {script.what}"
        if name == "epochs" and script.grows and ours > theirs:
            if not script.grows(FLAGS):  # a Config would need entries, before there are devices
                raise ValueError(
                    f"{contradiction}: its learning rate depends on epochs, as --schedule="
                    f"{FLAGS.schedule} spans them all"
                )
        elif name not in (*script.kept, "data_dir", entries.NAME) and ours != theirs:  # both move
            raise ValueError(f"{contradiction} in {directory}")
        FLAGS[name].value = ours


def _put(script: Script, lines: Iterable[str]) -> None:
    for name in script.all_flags:
        FLAGS[name].unparse()
    FLAGS(["", *lines])
