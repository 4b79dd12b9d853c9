"""Reads the digits of pictures, with a network that comes with the package.

usage: python -m digits_jax PICTURE [PICTURE ...] [--model=cnn|classic]
       python -m digits_jax page [FILE]
PICTURE is a file of any usual kind, or - for standard input. `page` writes a page for the browser,
digits.html where no FILE is given: draw digits, look inside the network, learn, train.
"""

import argparse
import os
import sys


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

    try:
        reader = recognition.reader(given.model)
    except ValueError as error:
        sys.exit(f"error: {error}")
    status = 0
    for seen in recognition.look(given.pictures, reader):
        if seen.error:
            status = 1
            print(f"error: {' '.join(seen.error.split())}", file=sys.stderr)
        else:
            print(f"{seen.name}\t{recognition.as_text(seen.digits)}", flush=True)
    return status


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
