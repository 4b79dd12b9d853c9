"""Reads the digits of pictures, with a network that comes with the package.

usage: python -m digits_jax PICTURE [PICTURE ...] [--model=cnn|classic]
PICTURE is a file of any usual kind, or - for standard input.
"""

import argparse
import os
import sys


def main(arguments: list[str]) -> int:
    """Prints a line a picture: its path, a tab, its digits in reading order, a slash at line ends.

    Returns:
        The exit status: 1 where no digit was found in one of the pictures.
    """
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


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # as of `... | head -1`, which has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
