"""Reading and comparing optimised programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from digits_jax.activations import ACTIVATIONS
from digits_jax.config import Config
from digits_jax.data import Dataset, Splits
from digits_jax.gradients import autodiff, manual
from digits_jax.losses import LOSSES
from experiments.comparison import programs
from experiments.comparison.problem import make_problem
from experiments.comparison.programs import fingerprint, kinds, parse, signatures

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
    return fingerprint(parse(text))


def test_every_instruction_is_counted_in_all_computations():
    program = parse(TEXT)
    expected = "add broadcast constant constant fusion get-tuple-element reduce subtract tuple"
    assert sorted(kinds(program).elements()) == expected.split()
    assert signatures(program)["f32[4,3]{1,0} subtract(f32[4,3]{1,0}, f32[4,3]{1,0})"] == 1
    assert signatures(program).total() == 9


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
        parse("HloModule jit_f")


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
    arguments = problem.arguments("float32", compiled=True)

    def compiled(value_and_grad):
        return fingerprint(parse(jax.jit(value_and_grad).lower(*arguments).compile().as_text()))

    quadratic = LOSSES["quadratic"]
    by_autodiff = compiled(autodiff(problem.model, quadratic))
    assert compiled(manual(ACTIVATIONS["sigmoid"], quadratic)) != by_autodiff

    def derivative_of_the_mean(logits, labels):
        return Scaled(jax.grad(lambda z: jnp.mean(quadratic.function(z, labels)))(logits))

    reverse_mode_bp1 = quadratic._replace(derivative=derivative_of_the_mean)
    assert compiled(manual(ACTIVATIONS["sigmoid"], reverse_mode_bp1)) == by_autodiff


class Scaled:
    """A derivative that is divided by the batch size already."""

    def __init__(self, derivative):
        self.derivative = derivative

    @property
    def T(self):
        return Scaled(self.derivative.T)

    def __truediv__(self, batch_size):
        return self.derivative


def test_rows_tell_both_methods_apart_from_one_another(problem):
    rows, kinds_rows = programs.rows(problem, "float32", whole_run=True)
    assert [(row.program, row.method) for row in rows] == [
        (program, method)
        for program in ("gradient", "training step")
        for method in ("autodiff", "manual")
    ]
    for row in rows:
        by_kind = [k for k in kinds_rows if (k.program, k.by) == (row.program, "opcode")]
        assert row.instructions == sum(getattr(k, row.method) for k in by_kind)
        assert row.flops > 2 * 2 * 6 * problem.parameters  # two products a weight and image
