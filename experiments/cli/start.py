"""How a script that trains begins, joins others in a job, goes on and is stopped.

Process 0 of a job alone reads and writes the folder. With `--resume` its flags are read back there
and taken over by all processes; what is given besides may not contradict them.
"""

import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags as absl_flags

from digits_jax.config import Config
from digits_jax.names import quoted
from digits_jax.parallel import distributed
from digits_jax.parallel.distributed import Job
from digits_jax.parallel.mesh import largest
from digits_jax.runs import directories, flags_file
from experiments.cli import compilation_cache, entries, flags, job, signals
from experiments.cli.flags import FLAGS
from experiments.cli.script import user_errors


class Script(NamedTuple):
    """A script that can be resumed, and what its folder holds.

    Attributes:
        name: the script, as in train.
        what: it makes, a key of `directories.KINDS`.
        flags: that results depend on, beside those of Config.
        kept: flags that results do not depend on; kept with the run all the same.
        grows: whether a run of such settings may get more epochs; `None`: never.
    """

    name: str
    what: str
    flags: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    grows: Callable[[Any], bool] | None = None

    @property
    def all_flags(self) -> tuple[str, ...]:
        """Everything that flags.txt may hold."""
        fields = (field.name for field in dataclasses.fields(Config))
        return (entries.NAME, *fields, *self.flags, *self.kept)


# The folder that is written into, `None` in all processes of a job but one; and the work. Its
# argument, the same in all processes, says whether to stop; it returns after what it stopped.
Work = tuple[Path | None, Callable[[Callable[[], bool]], str | None]]


def define(script: Script) -> None:
    """Defines where a script writes, whether it goes on there, and the job that it joins."""
    flags.define_workdir()
    text = f"go on with the {script.what} in workdir, with its flags"
    absl_flags.DEFINE_bool("resume", False, text, module_name="run")
    text = "with --resume: go on although this is another kind of device, which rounds otherwise"
    absl_flags.DEFINE_bool("other_device", False, text, module_name="run")
    job.define()


def stored_flags(script: Script) -> list[str]:
    """The lines of flags.txt.

    Raises:
        ValueError: in one line, where a value cannot be kept there.
    """
    lines = entries.lines() + flags_file.of_config(flags.config())
    for name in (*script.flags, *script.kept):
        flag = FLAGS[name]
        if name in script.flags or flag.value != flag.default:
            several = isinstance(flag, absl_flags.MultiFlag)
            values = flag.value if several else [flag.value]
            lines += [f"--{name}={each}" for each in values or [] if each is not None]
    flags_file.check(lines)
    return lines


def begin(script: Script, here: Job) -> Path | None:
    """The folder that process 0 is to write into, checked; with `--resume`, its flags are these.

    Returns:
        `None` in all other processes, and where the folder is still to be made. With `--resume`, it
        is the folder unfinished in workdir where that holds the run that goes on.

    Raises:
        ValueError: a process of the job has other flags; the folder is not empty; or with
            `--resume` it holds nothing to go on with, or a flag contradicts those in it.
        OSError: they cannot be read.
    """
    job.check_same_flags(here)
    directory = flags.workdir("") if here.is_primary and FLAGS.workdir is not None else None
    if here.is_primary and FLAGS.resume:
        if directory is None or FLAGS.overwrite:
            raise ValueError(f"--resume needs --workdir={script.what.upper()}, and no --overwrite")
        directories.complete(directory)
        directory = _read(script, directory)
    elif directory:
        directories.check(directory, FLAGS.overwrite)
        if directories.kind_of(directory) not in (None, script.what):
            other = directories.kind_of(directory)
            raise ValueError(f"{directory} holds a {other}: choose another workdir")
    if FLAGS.resume and here.processes > 1:
        text = json.dumps(stored_flags(script) if here.is_primary else [])
        text = distributed.share(here, "flags to go on with", text)
        if not here.is_primary:  # which may keep its data elsewhere
            own_data = FLAGS.data_dir
            _put(script, json.loads(text))
            FLAGS["data_dir"].value = own_data or FLAGS.data_dir
    return directory


def run(script: Script, prepare: Callable[[contextlib.ExitStack, Job], Work | None]) -> int | None:
    """Joins a job, prepares and works, until the end or until a signal asks for a stop.

    Args:
        script: the script.
        prepare: reads and checks what the user gave, enters what is to be held until the end, and
            gives what is to be done, or `None` for nothing. Its ValueErrors are user's mistakes.

    Returns:
        The exit status: as of a process that the signal ended, where it stopped.
    """
    compilation_cache.use()
    with user_errors(ValueError, RuntimeError):
        here = job.join()
    with signals.stop_requested() as asked, contextlib.ExitStack() as held:
        with user_errors(ValueError):
            prepared = prepare(held, here)
        if not prepared:
            return None
        folder, work = prepared
        after = work(lambda: largest(asked()) > 0)
        if not after:
            return None
        if folder:
            own = Path(sys.argv[0]).stem == script.name  # else a script that has started this one
            command = f"python -m experiments.{script.name}" if own else f"python {sys.argv[0]}"
            workdir = quoted(str(directories.home(folder)))
            flags.say(f"stopped after {after}; to go on: {command} --resume --workdir={workdir}")
        return 128 + largest(asked())


def _read(script: Script, directory: Path) -> Path:
    """Takes over the flags of what is under way in `directory`, else of what is finished there."""
    folders = [
        folder
        for folder in (directory / directories.UNFINISHED, directory)
        if directories.kind_of(folder) == script.what
    ]
    if not folders:
        lacks = directories.FLAGS_FILE
        if (directory / lacks).is_file():
            lacks = directories.RESULTS_FILE
        raise ValueError(f"{directory} holds no {script.what} to resume: it has no {lacks}")
    given = {name: FLAGS[name].value for name in script.all_flags if FLAGS[name].present}
    try:
        _take_over(script, folders[0], given, script.grows)
    except ValueError:
        if len(folders) == 1:
            raise
        try:  # the finished one, as it is
            _take_over(script, folders[1], given, None)
        except ValueError:
            pass
        else:
            return folders[1]
        raise
    return folders[0]


def _take_over(
    script: Script, folder: Path, given: Mapping[str, Any], grows: Callable[[Any], bool] | None
) -> None:
    """Takes over the flags in `folder`, with what of `given` may change in them."""
    path = folder / directories.FLAGS_FILE
    lines = flags_file.read(path)
    try:
        _put(script, lines)
    except absl_flags.Error as error:
        raise ValueError(f"{path}: {error}") from None
    for name, ours in given.items():
        if ours == flags.ALL:
            ours = flags.everything()
        theirs: Any = FLAGS[name].value
        there = f"--{name}={_written(theirs)} of the {script.what}"
        contradiction = f"--{name}={_written(ours)} contradicts {there}"
        if name == "epochs" and grows and ours > theirs:
            if not grows(FLAGS):  # a Config would need entries, before there are devices
                flag = "fade" if FLAGS.schedule == "constant" else "schedule"
                raise ValueError(
                    f"{contradiction}: the epochs so far depend on their number, as --{flag}="
                    f"{FLAGS[flag].value} spans them all"
                )
        elif name not in (*script.kept, "data_dir", entries.NAME) and ours != theirs:  # both move
            raise ValueError(f"{contradiction} in {directories.home(folder)}")
        FLAGS[name].value = ours


def _written(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _put(script: Script, lines: Iterable[str]) -> None:
    for name in script.all_flags:
        FLAGS[name].unparse()
    FLAGS(["", *(line for line in lines if line.startswith("--"))])
