"""A trained model as StableHLO: what any JAX runs without this library."""

import jax
import jax.numpy as jnp
import numpy as np

from digits_jax.export.source import Source, make_apply

PLATFORMS = ("cpu", "cuda", "tpu")


def serialise(source: Source) -> bytes:
    """The function images uint8 [n, height, width] -> (logits, probabilities), for any n.

    What was written is read back and compared with the model. JAX promises to read it for six
    months, and runs it on each of `PLATFORMS`.
    """
    from jax import export  # takes a moment to load

    (n,) = export.symbolic_shape("n")
    shape = (n, *source.trained.image_shape)
    images = jax.ShapeDtypeStruct(shape, jnp.uint8)  # type: ignore[no-untyped-call]
    apply = jax.jit(make_apply(source))
    content = bytes(export.export(apply, platforms=PLATFORMS)(images).serialize())
    some = np.random.default_rng(0).integers(0, 256, (4, *shape[1:]), np.uint8)
    read = export.deserialize(bytearray(content)).call(some)  # type: ignore[no-untyped-call]
    for actual, expected in zip(read, apply(some), strict=True):
        if not np.allclose(actual, expected, rtol=1e-4, atol=1e-5):
            raise ValueError("StableHLO: what was written does not compute what the model does")
    return content


USAGE = """\
f = jax.export.deserialize(pathlib.Path({path!r}).read_bytes())
logits, probabilities = f.call(images)  # uint8 [n, {height}, {width}], as in MNIST\
"""
