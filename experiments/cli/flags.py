"""absl flags made from the fields of Config, and what every script does with a user's mistake."""

import atexit
import contextlib
import dataclasses
import datetime
import errno
import gc
import itertools
import math
import os
import re
import shlex
import signal
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import jax
from absl import app, flags, logging

from digits_jax import data
from digits_jax.config import Config
from experiments.cli import entries

FLAGS = flags.FLAGS
HELP_FLAGS = {"-h", "-help", "--help", "-?", "--helpshort"}
ALL = "all"  # --train_size, until `config` knows how many they are
LONGEST = 500  # characters of a message
# In the order in which --help shows them; a flag's group is its absl module.
GROUPS = (
    "data",
    "network",
    "training",
    "augmentation",
    "sweep",
    "comparison",
    "benchmark",
    "target",
    "run",
    "hosts",
)


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
        elif isinstance(default, tuple):
            flags.DEFINE_list(field.name, list(default), **about)
        else:
            flags.DEFINE_string(field.name, default, **about)


def define_workdir() -> None:
    """Defines where a script writes."""
    text = "folder for the results (runs/<date-time>-<what>)"
    flags.DEFINE_string("workdir", None, text, module_name="run")
    text = "replace the results of an earlier run in workdir"
    flags.DEFINE_bool("overwrite", False, text, module_name="run")


def define_report() -> None:
    """Defines where a report goes."""
    text = "the page; an earlier one of that name is replaced"
    flags.DEFINE_string("output", "report.html", text, module_name="run")
    text = "folder of the runs' data, where it has moved"
    flags.DEFINE_string("data_dir", None, text, module_name="run")
    text = "folder that receives the pictures singly, as PNG files"
    flags.DEFINE_string("figures_dir", None, text, module_name="run")


def define_export(formats: Iterable[str]) -> None:
    """Defines what an export is, and where it goes."""
    flags.DEFINE_enum("format", "html", list(formats), "what is made", module_name="run")
    text = "the file (the name of the run, in the folder that one is in)"
    flags.DEFINE_string("output", None, text, module_name="run")
    text = "a model that comes with the library: classic, cnn"
    flags.DEFINE_string("model", None, text, module_name="run")
    text = "folder that holds the images of a page now, if the run's data have moved"
    flags.DEFINE_string("data_dir", None, text, module_name="run")
    flags.DEFINE_bool("overwrite", False, "replace an earlier file", module_name="run")


def workdir(name: str) -> Path:
    """The folder that `--workdir` names, or a new one under `runs` after the time and `name`.

    Raises:
        ValueError: where it is empty: that would be the current folder.
        OSError: where it cannot be made.
    """
    if FLAGS.workdir == "":
        raise ValueError("workdir is empty: expected a folder, as in --workdir=runs/mine")
    if FLAGS.workdir is not None:
        return Path(FLAGS.workdir).expanduser()
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    stem = f"{now}-{re.sub('[^A-Za-z0-9_.]+', '-', name)}"
    for number in itertools.count(1):
        # Another script may begin in the same second.
        folder = Path("runs") / (stem if number == 1 else f"{stem}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    return folder


def config(parsed: flags.FlagValues = FLAGS) -> Config:
    """The Config that the parsed flags give; where a script defined no flag, its default.

    Where `--train_size` is all, it counts the images and puts their number into the flag.

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
    """The training images that the flags leave beside validation images.

    Raises:
        ValueError: as `data.load`.
    """
    names = ("dataset", "data_dir", "validation_size")
    dataset, data_dir, validation_size = (parsed[name].value for name in names)
    return max(1, data.count(dataset or "", data_dir) - int(validation_size or 0))


def data_settings(config: Config) -> dict[str, Any]:
    """The arguments of `data.load`; every process of a job may have a folder of its own."""
    return config.data_settings | ({"data_dir": FLAGS.data_dir} if FLAGS.data_dir else {})


def whole_numbers(name: str, parsed: flags.FlagValues = FLAGS) -> tuple[int, ...]:
    """The value of a list flag as whole numbers.

    Raises:
        ValueError: in one line, where one is none.
    """
    given: list[str] = parsed[name].value or []
    try:
        return tuple(int(number) for number in given)
    except ValueError:
        raise ValueError(
            f"{name}={','.join(given)}: expected whole numbers, as in 30 or 128,64"
        ) from None


def config_flags(config: Config) -> str:
    """The flags of a Config, a line each, as `--flagfile` reads them."""
    lines = []
    for name, value in vars(config).items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else value
        lines += [] if text is None else [f"--{name}={text}\n"]
    return entries.line() + "".join(lines)


def put_defaults(settings: Mapping[str, Any]) -> None:
    """Gives values to those of these flags that are not given on the command line."""
    for name, value in settings.items():
        if FLAGS[name].using_default_value:
            FLAGS[name].value = value


def command(script: str) -> str:
    """The command that makes the same results again, wherever they are written to."""
    groups = FLAGS.flags_by_module_dict()
    words = sys.argv[1:]
    files = [word for word in words if word.startswith("--flagfile=")]
    given = [
        line
        for group in GROUPS
        if group != "run"
        for flag in groups.get(group, [])
        if flag.present
        # What a flag file gives is not said again.
        if not files or any(re.match(rf"--?(no)?{flag.name}(=|$)", word) for word in words)
        for line in flag.serialize().splitlines()
    ]
    return shlex.join(["python", "-m", f"experiments.{script}", *files, *given])


@contextlib.contextmanager
def user_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Turns exceptions that a user's input causes into one line on stderr and exit status 1.

    `ValueError` is for a block that checks what a user gave: elsewhere it is a bug of ours.
    """
    try:
        yield
        if sys.stdout:  # else it was closed from the beginning
            sys.stdout.flush()
    except BrokenPipeError:  # as of `... | head -1`, which has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except kinds as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and not error.filename:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            error.filename = "standard output"
        sys.exit(f"error: {_one_line(error)}")


def _one_line(error: Exception | str) -> str:
    """What is wrong, without an errno's number; a name that is very long is cut in its middle."""
    text = str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    text = re.sub(r"ERROR:: |\[Errno \d+\] ", "", " ".join(text.split()))
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"


def run(main: Callable[..., int | None], *kinds: type[Exception], arguments: str = "") -> None:
    """Parses the flags, calls `main` and exits with the status that it returns.

    `--help` shows the flags by group. Every script ends in this place: by one line where a flag, a
    file or one of `kinds` is wrong, by status 130 on Ctrl-C, quietly in a pipe that is closed.

    Args:
        main: the script; it receives the arguments as a list, where it takes any.
        kinds: exceptions beside OSError that a user's input causes, wherever they are raised.
        arguments: what it takes before, between or after its flags, as in `RUN [RUN ...]`; in
            brackets as a whole, they may be left out.
    """

    def parse(argv: list[str]) -> list[str]:
        if arguments:
            FLAGS.set_gnu_getopt()
        rest = _parse(argv)
        if arguments and not arguments.startswith("[") and len(rest) == 1:
            _usage_error(f"expected {arguments}")
        if not arguments and len(rest) > 1:
            _usage_error(f"unexpected argument {rest[1]!r}: settings are flags, as in --seed=1")
        return rest

    def guarded(argv: list[str]) -> int | None:
        try:
            with user_errors(OSError, *kinds):
                if jax.config.jax_disable_jit:  # type: ignore[attr-defined]
                    sys.exit("error: JAX_DISABLE_JIT is set: scripts run what they have compiled")
                return main(argv[1:]) if arguments else main()
        except KeyboardInterrupt:
            return 130
        except Exception as error:
            if lacking := _lacking(error):
                sys.exit(f"error: {_one_line(lacking)}")
            raise

    entries.define()
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as `experiments` left it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # The cyclic garbage collector would go through all that is imported again and again, and at
    # exit object by object.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    app.run(guarded, flags_parser=parse)


def _lacking(error: Exception) -> str | None:
    """What the machine lacks, as far as it is that by which a script failed."""
    if "No space left on device" in str(error):
        return str(error).removeprefix("RESOURCE_EXHAUSTED: ")
    if isinstance(error, MemoryError) or re.search("RESOURCE_EXHAUSTED|Out of memory", str(error)):
        return f"too little memory: {error or 'choose fewer images, or a smaller network'}"
    try:
        jax.devices()
    except Exception:
        platforms = jax.config.jax_platforms  # type: ignore[attr-defined]
        return f"JAX_PLATFORMS={platforms}: no such device here: unset it, or set it to cpu"
    return None


def _parse(argv: list[str]) -> list[str]:
    if HELP_FLAGS.intersection(argv[1:]):
        with user_errors():
            print(_help(), flush=True)
        sys.exit(0)
    try:
        rest = FLAGS(argv)
        for name in FLAGS:
            parser = FLAGS[name].parser
            if isinstance(parser, _Choice) and not entries.given():
                parser.check(FLAGS[name].value)
    except (flags.Error, ValueError) as error:
        text = re.sub(r"invalid literal for int\(\) with base 10:", "no whole number:", str(error))
        text = re.sub(r"could not convert string to float:", "no number:", text)
        _usage_error(re.sub(r"\('Non-boolean .*?', ('.*')\)", r"neither true nor false: \1", text))
    for name in FLAGS:
        value: Any = FLAGS[name].value
        if isinstance(value, float) and math.isnan(value):
            _usage_error(f"flag --{name}=nan: expected a number")
    if FLAGS["verbosity"].using_default_value:
        # At absl's default, JAX logs every kind of device that it looks for in vain.
        FLAGS.verbosity = logging.WARNING  # type: ignore[assignment]
    return rest


def _usage_error(message: str) -> NoReturn:
    print(f"error: {_one_line(message)} (--help lists all flags)", file=sys.stderr)
    sys.exit(2)


def _help() -> str:
    main = sys.modules["__main__"]
    lines = [(main.__doc__ or "").strip()]
    modules = FLAGS.flags_by_module_dict()
    for group in GROUPS:
        if group not in modules:
            continue
        lines += ["", f"{group}:"]
        for flag in modules[group]:
            text = (flag.help or "").replace("|", " | ")  # where a line may end
            lines += textwrap.wrap(
                f"{_default(flag):<28} {text}",
                width=100,
                initial_indent="  --",
                subsequent_indent=" " * 33,
                break_on_hyphens=False,
            )
    return "\n".join(lines)


def _default(flag: flags.Flag[Any]) -> str:
    if flag.boolean:
        return flag.name
    default = ",".join(flag.default) if isinstance(flag.default, list) else flag.default
    return f"{flag.name}={'' if default is None else default}"
