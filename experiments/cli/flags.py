"""absl flags: those made from the fields of Config, and those that several scripts share."""

import contextlib
import dataclasses
import datetime
import itertools
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from absl import flags

from digits_jax import data
from digits_jax.config import Config
from digits_jax.names import shown
from experiments.cli import entries
from experiments.cli.script import GROUPS

FLAGS = flags.FLAGS
ALL = "all"  # --train_size, until `config` has counted the images


class _AllOrNumber(flags.IntegerParser):
    """`train_size`, which may be all."""

    def parse(self, argument: Any) -> Any:
        return argument if argument == ALL else super().parse(argument)


class _Choice(flags.EnumParser):
    """A name in a table. It is checked when all flags are known: `--entries` may add the name."""

    def parse(self, argument: str) -> str:
        return argument if isinstance(argument, str) else super().parse(argument)

    def check(self, value: str | None) -> None:
        """Raises ValueError if there is no such name."""
        if value is not None and value not in self.enum_values:
            raise ValueError(f"{value!r}: choose one of {', '.join(self.enum_values)}")


def define_config(*names: str, values: flags.FlagValues = FLAGS) -> None:
    """Defines a flag for every field of Config, or for those named."""
    for field in dataclasses.fields(Config):
        if names and field.name not in names:
            continue
        default: Any = field.default
        about: dict[str, Any] = {
            "help": field.metadata["help"],
            "flag_values": values,
            "module_name": field.metadata["group"],
        }
        choices = field.metadata.get("choices")
        if choices:
            about["help"] = f"<{'|'.join(choices)}>: {about['help']}"
            written: Any = flags.ArgumentSerializer()
            flags.DEFINE(_Choice(list(choices)), field.name, default, serializer=written, **about)
        elif field.name == "train_size":
            written = flags.ArgumentSerializer()
            flags.DEFINE(_AllOrNumber(1), field.name, default, serializer=written, **about)
        elif field.type is int:
            flags.DEFINE_integer(field.name, default, **about)
        elif field.type is float:
            flags.DEFINE_float(field.name, default, **about)
        elif field.type is bool:
            flags.DEFINE_bool(field.name, default, **about)
        elif isinstance(default, tuple):
            flags.DEFINE_list(field.name, list(default), **about)
        else:
            flags.DEFINE_string(field.name, default, **about)


def define_workdir() -> None:
    """Defines where a script writes."""
    text = "folder for the results (default: a new folder in runs)"
    flags.DEFINE_string("workdir", None, text, module_name="run")
    text = "replace earlier results in workdir"
    flags.DEFINE_bool("overwrite", False, text, module_name="run")


def define_export(formats: Iterable[str]) -> None:
    """Defines the format of an export, and where it goes."""
    flags.DEFINE_enum("format", "html", list(formats), "format of the file", module_name="run")
    text = "file to write (default: named after the run, in the current folder)"
    flags.DEFINE_string("output", None, text, module_name="run")
    text = "export a model that comes with the library: classic or cnn"
    flags.DEFINE_string("model", None, text, module_name="run")
    text = "images for a page, if the run's data have moved (or --data)"
    flags.DEFINE_string("data_dir", None, text, module_name="run")
    flags.DEFINE_bool("overwrite", False, "replace an earlier file", module_name="run")


def workdir(name: str) -> Path:
    """The folder that `--workdir` names, or a new one in `runs`, named after the time and `name`.

    Raises:
        ValueError: where the flag is empty, which would be the current folder.
        OSError: where the folder cannot be made.
    """
    if FLAGS.workdir == "":
        raise ValueError("workdir is empty: expected a folder, as in --workdir=runs/mine")
    if FLAGS.workdir is not None:
        return Path(FLAGS.workdir).expanduser()
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    stem = f"{now}-{re.sub('[^A-Za-z0-9_.]+', '-', name)}"
    for number in itertools.count(1):
        # Another script may start in the same second.
        folder = Path("runs") / (stem if number == 1 else f"{stem}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    return folder


def config(parsed: flags.FlagValues = FLAGS) -> Config:
    """The Config of the parsed flags; settings without a flag have their defaults.

    For `--train_size=all` it counts the images and puts their number into the flag.

    Raises:
        ValueError: in one line, where a value is out of range.
    """
    entries.load()
    if "train_size" in parsed and parsed["train_size"].value == ALL:
        parsed["train_size"].value = everything(parsed)
    values: dict[str, Any] = {
        field.name: parsed[field.name].value
        for field in dataclasses.fields(Config)
        if field.name in parsed
    }
    if values.get("data_dir"):  # the run may be read again from elsewhere
        values["data_dir"] = str(Path(values["data_dir"]).expanduser().absolute())
    return Config.from_dict(values)


def everything(parsed: flags.FlagValues = FLAGS) -> int:
    """The number of training images that remain beside the validation images.

    Raises:
        ValueError: as `data.load`.
    """
    names = ("dataset", "data_dir", "validation_size")
    dataset, data_dir, validation_size = (parsed[name].value for name in names)
    return max(1, data.count(dataset or "", data_dir) - int(validation_size or 0))


def data_settings(config: Config) -> dict[str, Any]:
    """The arguments of `data.load`; each process of a job may keep the data in its own folder."""
    return config.data_settings | ({"data_dir": FLAGS.data_dir} if FLAGS.data_dir else {})


def whole_numbers(name: str, parsed: flags.FlagValues = FLAGS) -> tuple[int, ...]:
    """The value of a list flag as integers.

    Raises:
        ValueError: in one line, where one is not an integer.
    """
    given: list[str] = parsed[name].value or []
    try:
        return tuple(int(number) for number in given)
    except ValueError:
        raise ValueError(
            f"{name}={','.join(given)}: expected integers, as in 30 or 128,64"
        ) from None


def say(*lines: str) -> None:
    """Prints lines, in which names can do nothing to a terminal."""
    print("\n".join(map(shown, lines)))


def warn(line: str) -> None:
    """Prints a warning to stderr, likewise."""
    print(f"warning: {shown(line)}", file=sys.stderr)


def put_defaults(settings: Mapping[str, Any]) -> None:
    """Sets these flags, except those that were given on the command line."""
    for name, value in settings.items():
        if FLAGS[name].using_default_value:
            FLAGS[name].value = value


def command(script: str) -> str:
    """The command that makes the same results again; flags that say where to write are left out."""
    groups = FLAGS.flags_by_module_dict()
    words = sys.argv[1:]
    files = [word for word in words if word.startswith("--flagfile=")]
    given = [
        line
        for group in GROUPS
        if group != "run"
        for flag in groups.get(group, [])
        if flag.present
        # What a flag file gives is not repeated.
        if not files or any(re.match(rf"--?(no)?{_names(flag)}(=|$)", word) for word in words)
        for line in flag.serialize().splitlines()
    ]
    return shlex.join(["python", "-m", f"experiments.{script}", *files, *given])


def _names(flag: flags.Flag[Any]) -> str:
    return "data(_dir)?" if flag.name == "data_dir" else flag.name
