"""A trained model as StableHLO: what any JAX runs without this library."""

import jax
import jax.numpy as jnp

from digits_jax.export.source import Source, make_apply

PLATFORMS = ("cpu", "cuda", "tpu")


def serialise(source: Source) -> bytes:
    """The function images uint8 [n, height, width] -> (logits, probabilities), for any n.

    JAX promises to read it for six months, and runs it on each of `PLATFORMS`.
    """
    from jax import export  # takes a moment to load

    (n,) = export.symbolic_shape("n")
    shape = (n, *source.trained.image_shape)
    images = jax.ShapeDtypeStruct(shape, jnp.uint8)  # type: ignore[no-untyped-call]
    exported = export.export(jax.jit(make_apply(source)), platforms=PLATFORMS)(images)
    return bytes(exported.serialize())


USAGE = """\
f = jax.export.deserialize(pathlib.Path({path!r}).read_bytes())
logits, probabilities = f.call(images)  # uint8 [n, {height}, {width}], as in MNIST\
"""
