"""Private names of JAX: each is named here, exists, and is missed in one clear line."""

import re
import sys
from pathlib import Path

import pytest

from digits_jax.parallel import distributed

ROOT = Path(__file__).parent.parent


def test_two_private_names_are_used():
    found = {
        (path.name, *names)
        for folder in ("digits_jax", "experiments")
        for path in (ROOT / folder).rglob("*.py")
        for names in re.findall(
            r"(?:from|import) +(jax(?:lib)?\._src\S*)(?: import (\w+))?", path.read_text()
        )
    }
    assert found == {
        ("distributed.py", "jax._src.distributed", "global_state"),
        ("identity.py", "jax._src", "config"),
    }


def test_a_jax_without_it_gives_one_line(monkeypatch):
    assert distributed._state().__class__.__name__ == "State"
    monkeypatch.setitem(sys.modules, "jax._src.distributed", None)
    with pytest.raises(RuntimeError, match=r"^jax .* has no jax._src.distributed.global_state"):
        distributed._state()
