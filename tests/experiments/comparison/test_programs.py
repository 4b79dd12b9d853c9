"""Reading and comparing optimised programs."""

import jax
import numpy as np
import pytest

from digits_jax.config import Config
from digits_jax.data import Dataset, Splits
from digits_jax.gradients import manual
from experiments.comparison import programs
from experiments.comparison.problem import make_problem
from experiments.comparison.programs import count, fingerprint

TEXT = """HloModule jit_f, is_scheduled=true, entry_computation_layout={(f32[4,3]{1,0})->f32[4]{0}}

FileNames
1 "somewhere.py"

%region_0.1 (a.1: f32[], b.1: f32[]) -> f32[] {
  %a.1 = f32[] parameter(0)
  %b.1 = f32[] parameter(1)
  ROOT %add.9 = f32[] add(%a.1, %b.1), metadata={op_name="jit(f)/reduce{sum}" stack_frame_id=3}
}

%fused (p.0: f32[4,3], p.1: f32[]) -> (f32[4], f32[4,3]) {
  %p.0 = f32[4,3]{1,0} parameter(0)
  %p.1 = f32[] parameter(1)
  %two = f32[] constant(2)
  %twos = f32[4,3]{1,0} broadcast(%two), dimensions={}
  %difference = f32[4,3]{1,0} subtract(%p.0, %twos)
  %sum = f32[4]{0} reduce(%difference, %p.1), dimensions={1}, to_apply=%region_0.1
  ROOT %both = (f32[4]{0}, /*index=1*/f32[4,3]{1,0}) tuple(%sum, %difference)
}

ENTRY %main.5 (x.1: f32[4,3]) -> f32[4] {
  %x.1 = f32[4,3]{1,0} parameter(0), metadata={op_name="x"}
  %zero = f32[] constant(0)
  %fusion = (f32[4]{0}, f32[4,3]{1,0}) fusion(%x.1, %zero), kind=kLoop, calls=%fused
  ROOT %out = f32[4]{0} get-tuple-element(%fusion), index=0
}
"""


def changed(*pairs):
    text = TEXT
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return fingerprint(text)


def test_instructions_are_counted_in_all_computations_parameters_aside():
    assert count(TEXT) == 9


@pytest.mark.parametrize(
    "pairs",
    [
        [("%difference", "%sub.77"), ("%fused", "%fused_computation.3"), ("%region_0.1", "%add")],
        [("stack_frame_id=3", "stack_frame_id=8"), ("reduce{sum}", "elsewhere")],
        [
            ("  %two = f32[] constant(2)\n", ""),
            (
                "  %p.0 = f32[4,3]{1,0} par",
                "  %two = f32[] constant(2)\n  %p.0 = f32[4,3]{1,0} par",
            ),
        ],
    ],
    ids=["names", "metadata", "order"],
)
def test_names_metadata_and_order_make_no_difference(pairs):
    assert changed(*pairs) == changed()


@pytest.mark.parametrize(
    "pair",
    [
        ("constant(2)", "constant(3)"),
        ("subtract(%p.0, %twos)", "subtract(%twos, %p.0)"),
        ("= f32[] add(", "= f32[] maximum("),
        ("tuple(%sum, %difference)", "tuple(%sum, %p.0)"),
        ("kind=kLoop", "kind=kInput"),
        ("index=0", "index=1"),
        ("  %zero = ", "  %unused = f32[] constant(7)\n  %zero = "),
    ],
)
def test_really_different_programs_are_different(pair):
    assert changed(pair) != changed()


def test_text_without_an_entry_is_refused():
    with pytest.raises(ValueError, match="no ENTRY computation"):
        fingerprint("HloModule jit_f")


@pytest.mark.skipif(
    jax.default_backend() != "cpu" or jax.__version_info__ >= (0, 11),
    reason="a fact about the CPU programs of jax 0.10",
)
@pytest.mark.parametrize("batch_size", [10, 100])
def test_bp1_is_all_that_differs(batch_size):
    """With the derivative at the outputs from reverse mode, BP2 to BP4 give the same program."""
    images, labels = np.zeros((100, 28, 28), np.uint8), np.arange(100, dtype=np.int32) % 10
    classic = Config(train_size=100, validation_size=0, batch_size=batch_size)
    problem = make_problem(classic, Splits(*3 * [Dataset(images, labels)], num_classes=10))
    rows = programs.rows(problem, "float32", whole_step=False)
    assert [row.graphs for row in rows] == 2 * ["identical but for BP1"]


def test_with_bp1_by_autodiff_the_gradient_is_the_same(problem):
    """The mean's 1/batch is neither forgotten nor applied twice."""
    bp1 = programs.bp1_by_autodiff(problem.loss)
    arguments = problem.arguments("float32")
    pairs = zip(
        jax.tree.leaves(jax.jit(manual(problem.model, problem.loss, bp1))(*arguments)),
        jax.tree.leaves(jax.jit(manual(problem.model, problem.loss))(*arguments)),
        strict=True,
    )
    for actual, expected in pairs:
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-7)


def test_figures_of_a_program_are_those_of_its_size(problem):
    rows = programs.rows(problem, "float32", whole_step=True)
    assert [(row.program, row.method) for row in rows] == [
        (program, method)
        for program in ("gradient", "training step")
        for method in ("autodiff", "manual")
    ]
    for row in rows:
        assert row.flops > 2 * 2 * 6 * problem.place.parameters  # two products a weight and image
        assert row.bytes_accessed > 4 * 2 * problem.place.parameters  # read and written
        assert row.instructions > 10
