"""StableHLO, run by a process that has JAX and not this library."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax import export

from digits_jax.export import stablehlo

# As a user's program would read it; nothing of the library can be imported.
PROGRAM = """
import sys, pathlib, numpy as np
sys.modules["digits_jax"] = None
from jax import export
folder = pathlib.Path(sys.argv[1])
exported = export.deserialize(bytearray((folder / "model").read_bytes()))
logits, probabilities = exported.call(np.load(folder / "images.npy"))
np.savez(folder / "found.npz", logits=logits, probabilities=probabilities)
"""


@pytest.mark.parametrize("kind", ["tanh", pytest.param("classic", marks=pytest.mark.slow)])
def test_a_process_without_the_library_runs_it(sources, splits, tmp_path, kind):
    source = sources[kind]
    (tmp_path / "model").write_bytes(stablehlo.serialise(source))
    np.save(tmp_path / "images.npy", splits.test.images[:123])
    environment = {name: v for name, v in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path)
    found = np.load(tmp_path / "found.npz")
    images = splits.test.images[:123].astype("f4") / 255
    expected = jax.jit(source.model.apply)(source.trained.params, images)
    np.testing.assert_allclose(found["logits"], expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found["probabilities"].sum(1), 1, rtol=1e-5)


def test_it_is_for_every_platform_and_any_number_of_images(sources):
    exported = export.deserialize(bytearray(stablehlo.serialise(sources["relu"])))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert [str(a) for a in exported.in_avals] == ["uint8[n,28,28]"]
