"""Tensors in a file: their names, and that every type and layout comes back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from digits_jax.runs import tensor_file

TREE = {"layers": ({"w": np.ones((2, 3), np.float32)}, (), (np.uint8([1]), None))}


def test_tensors_are_named_by_their_paths_and_what_holds_none_is_passed_over():
    assert list(tensor_file.named(TREE)) == ["layers.0.w", "layers.2.0"]


def test_a_tree_is_filled_by_names():
    template = jax.eval_shape(lambda: TREE)
    w = np.eye(2, 3, dtype=np.float32)
    filled = tensor_file.fill(template, {"layers.2.0": np.uint8([9]), "layers.0.w": w})
    assert jax.tree.structure(filled) == jax.tree.structure(TREE)
    np.testing.assert_array_equal(filled["layers"][0]["w"], np.eye(2, 3))
    assert filled["layers"][2][0] == 9
    with pytest.raises(ValueError, match=r"^layers.2.0 is absent, expected uint8 \[1\]"):
        tensor_file.fill(template, {"layers.0.w": w})
    with pytest.raises(ValueError, match=r"^layers.0.w is float64 \[2, 3\], expected float32"):
        tensor_file.fill(template, {"layers.2.0": np.uint8([9]), "layers.0.w": np.eye(2, 3)})


@pytest.mark.parametrize(
    "tensor",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3).T,  # not in the order of the file
        np.float16([1 / 3, np.inf]),
        jnp.arange(3, dtype=jnp.bfloat16) / 3,
        np.uint32(2**32 - 1),
        np.int64([-1]),
        np.bool_([[True], [False]]),
        np.zeros((0, 3), np.int8),
    ],
    ids=lambda tensor: str(tensor.dtype),
)
def test_tensors_of_every_type_come_back(tensor):
    content = tensor_file.encode({"a": tensor}, {"rows": [[1, 0.1, None]]})
    tensors, metadata = tensor_file.decode(content)
    assert metadata == {"rows": [[1, 0.1, None]]}
    assert tensors["a"].dtype == tensor.dtype
    np.testing.assert_array_equal(tensors["a"], tensor)
    assert tensor_file.sha256(tensors) == tensor_file.sha256({"a": tensor})
    if tensor.dtype != jnp.bfloat16:  # their reader for NumPy lacks it
        np.testing.assert_array_equal(safetensors.numpy.load(content)["a"], tensor)


def test_the_hash_is_of_names_types_shapes_values_and_metadata():
    base = {"a": np.zeros(2, np.float32), "b": np.zeros(2, np.float32)}
    others = [
        {"a": base["a"], "c": base["b"]},
        base | {"b": np.zeros(2, np.int32)},
        base | {"b": np.zeros((2, 1), np.float32)},
        base | {"b": np.float32([0, -0.0])},
    ]
    hashes = {tensor_file.sha256(tensors) for tensors in (base, *others)}
    hashes |= {tensor_file.sha256(base, epoch=1), tensor_file.sha256(base, epoch=2)}
    assert len(hashes) == 7
