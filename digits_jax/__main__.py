"""Reads the digits of pictures, with a network that comes with the package.

usage: python -m digits_jax PICTURE [PICTURE ...] [--model=cnn|classic]
       python -m digits_jax page [FILE]
PICTURE is a file of any usual kind, or - for standard input. `page` writes a page for the browser,
digits.html where no FILE is given: draw digits, look inside the network, learn, train.
"""

import argparse
import hashlib
import os
import platform
import sys
import warnings


def main(arguments: list[str]) -> int:
    """Prints a line a picture: its path, a tab, its digits in reading order, a slash at line ends.

    Returns:
        The exit status: 1 where no digit was found in one of the pictures.
    """
    if arguments[:1] == ["page"]:
        return write_page(*(arguments[1:] or ["digits.html"]))
    usage, about = __doc__.split("usage: ")
    parser = argparse.ArgumentParser(description=usage, usage=about.splitlines()[0])
    parser.add_argument("pictures", nargs="+", metavar="PICTURE", help="a file, or - for stdin")
    parser.add_argument("--model", default="cnn", help="cnn (the default) or classic")
    given = parser.parse_args(arguments)

    from digits_jax import recognition

    keep_compiled()
    try:
        reader = recognition.reader(given.model)
    except ValueError as error:
        sys.exit(f"error: {error}")
    status = 0
    for seen in recognition.look(given.pictures, reader):
        if seen.error:
            status = 1
            print(f"error: {seen.error}", file=sys.stderr)
        else:
            print(f"{seen.name}\t{recognition.as_text(seen.digits)}", flush=True)
        if seen.note:
            print(seen.note, file=sys.stderr)
    return status


def keep_compiled() -> None:
    """Lets JAX keep its compiled programs in the user's cache: a second call compiles nothing.

    JAX's own variables go before. Another processor may lack instructions, and gets a folder of
    its own.
    """
    import jax

    if jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        return
    try:
        with open("/proc/cpuinfo") as file:
            known = next(line for line in file if line.startswith("flags"))
    except (OSError, StopIteration):
        known = f"{platform.machine()} {platform.processor()}"
    digest = hashlib.sha256(known.encode()).hexdigest()[:12]
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.path.join(home, "digits_jax", f"read-{jax.__version__}-{digest}")
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    for name, value in (
        ("jax_compilation_cache_dir", folder),
        ("jax_persistent_cache_min_compile_time_secs", 0.0),
        ("jax_persistent_cache_min_entry_size_bytes", -1),
    ):
        jax.config.update(name, value)  # type: ignore[no-untyped-call]


def write_page(file: str, *rest: str) -> int:
    """Writes the page of the network that comes with the package into a new file."""
    if rest:
        sys.exit(f"error: unexpected argument {rest[0]!r}: expected one file name after page")

    from digits_jax import export
    from digits_jax.export import html

    content = html.make([export.read(export.shipped("cnn"))], counts=html.FEW)
    try:
        with open(file, "x", encoding="utf-8") as page:
            page.write(content)
    except FileExistsError:
        sys.exit(
            f"error: {file} exists: give another name, as in python -m digits_jax page my.html"
        )
    except OSError as error:
        sys.exit(f"error: {file}: {error.strerror}")
    print(f"{file}: open it in a browser")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # as of `... | head -1`, which has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
