"""One line for an error: what Orbax and TensorStore would print beside it is left out."""

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
