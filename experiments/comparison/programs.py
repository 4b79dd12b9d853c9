"""Table 3: what XLA makes of reverse mode and of the four equations: the same program, or not.

Two optimised programs are compared as graphs. What carries no meaning is taken out: the names of
instructions and computations, source locations and other metadata, and the order in which the text
lists instructions that do not depend on each other.
"""

import hashlib
import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from digits_jax import gradients
from digits_jax.losses import Loss
from experiments.comparison.methods import precision, training_step
from experiments.comparison.problem import Place, Problem

NAME = re.compile(r"%[\w.\-]+")
NO_MEANING = re.compile(r', metadata=\{(?:"(?:[^"\\]|\\.)*"|[^}"])*\}|/\*.*?\*/')
HEADER = re.compile(r"^(?:ENTRY )?(%[\w.\-]+) .*\{$")
INSTRUCTION = re.compile(r"^\s+(ROOT )?(%[\w.\-]+) = (.*)$")
BOTH = ("autodiff", "manual")
BP1_BY_AUTODIFF = "manual, BP1 by jax.grad"
SAME, SAME_BUT_FOR_BP1, DIFFERENT = "identical", "identical but for BP1", "different"


class CompiledProgram(NamedTuple):
    """One program by one method, and whether that of the other method is the same graph.

    `instructions` are those of all computations, inside fusions too, without parameters. `None` is
    what XLA does not tell.
    """

    place: Place
    program: str
    dtype: str
    method: str
    flops: float | None
    bytes_accessed: float | None
    temporary_bytes: int
    instructions: int
    graphs: str


def fingerprint(text: str) -> str:
    """A hash that the texts of two optimised HLO modules share where they are the same graph.

    An instruction's hash covers its shape, kind, attributes, and the hashes of its operands and of
    the computations that it calls; a computation's those of all its instructions. Texts list
    callees first.

    Raises:
        ValueError: where the text holds no entry computation.
    """
    hashes: dict[str, str] = {}
    own: list[str] = []
    name = ""
    for line in NO_MEANING.sub("", text).splitlines():
        if header := HEADER.match(line):
            name, own = header[1], []
        elif found := INSTRUCTION.match(line):
            what = NAME.sub(lambda operand: hashes.get(operand[0], "?"), found[3])
            hashes[found[2]] = _hash(found[1] or "", what)
            own.append(hashes[found[2]])
        elif line == "}":
            hashes[name] = _hash(*sorted(own))
    if "\nENTRY " not in text:
        raise ValueError("no ENTRY computation: this is not the text of an HLO module")
    return hashes[name]


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def count(text: str) -> int:
    """The instructions of an optimised HLO module, in all its computations, parameters aside."""
    found = map(INSTRUCTION.match, NO_MEANING.sub("", text).splitlines())
    return sum(1 for line in found if line and " parameter(" not in line[3])


def bp1_by_autodiff(loss: Loss) -> gradients.OfLogits:
    """BP1 for `gradients.manual`, in one go by `jax.grad` of the mean over the batch."""
    return lambda logits, labels: jax.grad(lambda z: jnp.mean(loss.function(z, labels)))(logits)


def rows(problem: Problem, dtype: str, whole_step: bool) -> list[CompiledProgram]:
    """The programs of the gradient by both methods; with `whole_step` those of an update as well.

    They are `SAME_BUT_FOR_BP1` where manual compiles to that of autodiff once its BP1 is reverse
    mode's.
    """
    model, loss = problem.model, problem.loss
    compared = {
        "autodiff": gradients.autodiff(model, loss),
        "manual": gradients.manual(model, loss),
        BP1_BY_AUTODIFF: gradients.manual(model, loss, bp1_by_autodiff(loss)),
    }
    found = []
    for program in ("gradient", "training step")[: 1 + whole_step]:
        compiled: dict[str, Any] = {}
        for method, value_and_grad in compared.items():
            function: Any = value_and_grad
            arguments: Any = problem.arguments(dtype)
            if program == "training step":
                function, arguments = training_step(problem, value_and_grad, dtype)
            with precision(dtype):
                compiled[method] = jax.jit(function).lower(*arguments).compile()
        texts = {method: executable.as_text() for method, executable in compiled.items()}
        autodiff, manual, but_for_bp1 = map(fingerprint, texts.values())
        graphs = SAME_BUT_FOR_BP1 if but_for_bp1 == autodiff else DIFFERENT
        for method in BOTH:
            cost, memory = compiled[method].cost_analysis(), compiled[method].memory_analysis()
            figures = cost.get("flops"), cost.get("bytes accessed"), memory.temp_size_in_bytes
            key = problem.place, program, dtype, method
            same = SAME if manual == autodiff else graphs
            found.append(CompiledProgram(*key, *figures, count(texts[method]), same))
    return found
