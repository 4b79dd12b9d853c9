"""How every script begins and ends: flags, help, one line for a user's mistake, exit status."""

import atexit
import contextlib
import errno
import gc
import logging as messages
import math
import os
import re
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import jax
from absl import app, flags, logging

import digits_jax
import experiments
from digits_jax.names import shown
from experiments.cli import entries

FLAGS = flags.FLAGS
HELP_FLAGS = {"-h", "-help", "--help", "-?", "--helpshort"}
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
# How absl puts a mistake, and how we do.
PLAINER = (
    (r"invalid literal for int\(\) with base 10:", "not an integer:"),
    (r"could not convert string to float:", "not a number:"),
    (r"\('Non-boolean .*?', ('.*')\)", r"expected true or false, not \1"),
)


class _OnStderr(messages.Handler):
    """Prints what the library says about data as lines of stderr."""

    def emit(self, record: Any) -> None:
        print(_one_line(record.getMessage()), file=sys.stderr)


@contextlib.contextmanager
def user_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Turns exceptions that a user's input causes into one line on stderr and exit status 1.

    Use `ValueError` only around code that checks what a user gave. One that no `raise` of this
    project has raised is a bug of ours all the same: it keeps its traceback.
    """
    try:
        yield
        if sys.stdout:  # None where it was closed from the beginning
            sys.stdout.flush()
    except BrokenPipeError:  # as of `... | head -1`, which has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except kinds as error:
        if isinstance(error, ValueError) and not _raised_here(error):
            raise
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and not error.filename:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            error.filename = "standard output"
        sys.exit(f"error: {_one_line(error)}")


def run(main: Callable[..., int | None], *kinds: type[Exception], arguments: str = "") -> None:
    """Parses the flags, calls `main` and exits with the status that it returns.

    Every script ends here: with one line where a flag, a file or one of `kinds` is wrong, with
    status 130 on Ctrl-C, silently where its output is a pipe that was closed.

    Args:
        main: the script; if it takes arguments, it receives them as a list.
        kinds: exceptions beside OSError that a user's input causes, wherever they are raised.
        arguments: the arguments that it takes, as in `RUN [RUN ...]`, before, between or after
            flags. In brackets as a whole, they are optional.
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
                    sys.exit("error: JAX_DISABLE_JIT is set: unset it, scripts need compilation")
                return main(argv[1:]) if arguments else main()
        except KeyboardInterrupt:
            return 130
        except Exception as error:
            if lacking := _lacking(error):
                sys.exit(f"error: {_one_line(lacking)}")
            raise

    entries.define()
    if "data_dir" in FLAGS and "data" not in FLAGS:  # a better name; what is written keeps the old
        flags.DEFINE_alias("data", "data_dir", module_name="alias")
    library = messages.getLogger("digits_jax")
    library.handlers, library.propagate = [_OnStderr()], False
    library.setLevel(messages.INFO)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as `experiments` left it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # The cyclic garbage collector would scan all imported modules again and again, and at exit
    # free them object by object.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    app.run(guarded, flags_parser=parse)


def _parse(argv: list[str]) -> list[str]:
    if HELP_FLAGS.intersection(argv[1:]):
        with user_errors():
            print(_help(), flush=True)
        sys.exit(0)
    try:
        rest = FLAGS(argv)
        for name in FLAGS:
            check = getattr(FLAGS[name].parser, "check", None)
            if check and not entries.given():
                check(FLAGS[name].value)
    except (flags.Error, ValueError) as error:
        text = str(error)
        for pattern, plain in PLAINER:
            text = re.sub(pattern, plain, text)
        _usage_error(text)
    for name in FLAGS:
        value: Any = FLAGS[name].value
        if isinstance(value, float) and math.isnan(value):
            _usage_error(f"flag --{name}=nan: not a number")
    if FLAGS["verbosity"].using_default_value:
        # At absl's default, JAX logs every kind of device that it does not find.
        FLAGS.verbosity = logging.WARNING  # type: ignore[assignment]
    return rest


def _usage_error(message: str) -> NoReturn:
    print(f"error: {_one_line(message)} (--help lists all flags)", file=sys.stderr)
    sys.exit(2)


def _raised_here(error: ValueError) -> bool:
    """Whether a `raise` of this project has raised an error, or a text that is not UTF-8."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    folders = [str(Path(module.__file__ or "").parent) for module in (digits_jax, experiments)]
    ours = last.filename.startswith(tuple(folders)) and (last.line or "raise").startswith("raise")
    return ours or isinstance(error, UnicodeError)


def _one_line(error: Exception | str) -> str:
    """The message without the number of an errno; a very long one loses its middle."""
    text = str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    text = re.sub(r"ERROR:: |\[Errno \d+\] ", "", shown(" ".join(text.split())))
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"


def _lacking(error: Exception) -> str | None:
    """What the machine lacks, where that made a script fail."""
    if "No space left on device" in str(error):
        return str(error).removeprefix("RESOURCE_EXHAUSTED: ")
    if isinstance(error, MemoryError) or re.search("RESOURCE_EXHAUSTED|Out of memory", str(error)):
        return f"not enough memory: {error or 'choose fewer images, or a smaller network'}"
    try:
        jax.devices()
    except Exception:
        platforms = jax.config.jax_platforms  # type: ignore[attr-defined]
        return f"JAX_PLATFORMS={platforms}: this machine has no such device; unset it, or use cpu"
    return None


def _help() -> str:
    """The script's own description, then every flag with its default, by group."""
    lines = [(sys.modules["__main__"].__doc__ or "").strip()]
    modules = FLAGS.flags_by_module_dict()
    for group in GROUPS:
        lines += ["", f"{group}:"] if group in modules else []
        for flag in modules.get(group, []):
            default = ",".join(flag.default) if isinstance(flag.default, list) else flag.default
            shown = flag.name if flag.boolean else f"{flag.name}={default or ''}"
            shown = f"{flag.name}={default}" if default == 0 and not flag.boolean else shown
            text = (flag.help or "").replace("|", " | ")  # where a line may end
            lines += textwrap.wrap(
                f"{shown:<28} {text}",
                width=100,
                initial_indent="  --",
                subsequent_indent=" " * 33,
                break_on_hyphens=False,
            )
    return "\n".join(lines)
