"""What libraries would print beside a script's own lines is left out."""

import os
import sys
from typing import Any

from absl import logging


def silence_orbax() -> None:
    """Leaves out the stack traces of a save or a restore that fails: its error is raised as well.

    Orbax logs them. And where one array cannot be written or read, TensorStore tells the event loop
    about the others after Orbax has closed it: an error in a thread of C++, where nothing can catch
    it.
    """
    logging.get_absl_handler().addFilter(lambda record: "/orbax/" not in record.pathname)
    earlier = sys.unraisablehook

    def unraisablehook(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            earlier(unraisable)

    sys.unraisablehook = unraisablehook


def keep_stdout() -> None:
    """Leaves stdout to Python: Gloo, in C++, prints there how many processes it is connected to."""
    sys.stdout.flush()
    own = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    sys.stdout = os.fdopen(own, "w", encoding=sys.stdout.encoding, closefd=False)
