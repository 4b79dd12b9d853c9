"""What `jax.grad` and XLA make of each equation of back-propagation, beside the line by hand.

Nothing is matched by its looks. `jax.named_scope` around each layer says which layer an equation of
a jaxpr belongs to; the gradients that it has a part in say whether it is BP2, BP3 or BP4. Each is
then given its number as a scope, compiled, and found again by it in the names that XLA keeps.
"""

import collections
import itertools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.extend.core import Literal

import digits_jax
from digits_jax import gradients
from digits_jax.checking.findings import leaves
from digits_jax.layers import scopes
from experiments.comparison import programs
from experiments.comparison.problem import Problem

PACKAGE = Path(digits_jax.__file__).parent
FORWARD, UNUSED, LAYOUT = "forward", "unused", "layout"
ACTIVATION = {FORWARD: "a = f(z)", "BP2": "∂C/∂z = ∂C/∂a · f'(z)"}
EQUATIONS = {
    LAYOUT: {FORWARD: "images and logits laid out: examples are columns within the network"},
    "loss": {FORWARD: "C = mean loss of the batch", "BP1": "δ = ∂C/∂z at the outputs"},
    "dense": {
        FORWARD: "z = W a + b",
        "BP2": "∂C/∂a = Wᵀ δ",
        "BP3": "∂C/∂b = sum of δ over the batch",
        "BP4": "∂C/∂W = δ aᵀ",
    },
    "convolution": {
        FORWARD: "z = W P + b, the columns of P being patches of a",
        "BP2": "∂C/∂P = Wᵀ δ, each pixel getting the sum of its patches",
        "BP3": "∂C/∂b = sum of δ over images and places",
        "BP4": "∂C/∂W = δ Pᵀ",
    },
    "flatten": {FORWARD: "a as one column an image", "BP2": "∂C/∂a put back in its place"},
    "max-pool": {FORWARD: "the greatest of each window", "BP2": "δ to the greatest of each window"},
}


class Source(NamedTuple):
    """An expression of the package: its file, lines and columns counted as Python does."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def text(self) -> str:
        """The expression as it is written there, on one line."""
        lines = (PACKAGE / self.file).read_bytes().splitlines()[self.line - 1 : self.end_line]
        lines[-1] = lines[-1][: self.end_column]
        lines[0] = lines[0][self.column :]
        del lines[1 if lines[0].endswith(b":") else len(lines) :]  # of a loop its head
        return " ".join(b" ".join(lines).decode().split())

    def within(self, other: "Source") -> bool:
        """Whether it is a part of another expression."""
        begins, ends = (self.line, self.column), (self.end_line, self.end_column)
        around = other.line, other.column
        return self != other and self.file == other.file and (
            around <= begins and ends <= (other.end_line, other.end_column)
        )  # fmt: skip


class Step(NamedTuple):
    """An equation of a jaxpr, calls replaced by what they call; operands and results by number."""

    equation: Any
    reads: list[int]
    writes: list[int]
    scope: str
    source: Source | None


class Instruction(NamedTuple):
    """An instruction of an optimised program, and the numbers of the equations it comes from."""

    text: str
    computation: str
    equations: tuple[int, ...]


class Key(NamedTuple):
    """What the equations of a row have in common: their layer, and what they are of it."""

    layer: str
    role: str


class Method(NamedTuple):
    """One way to the gradient: for each equation row, text, value and source; its instructions."""

    keys: list[Key]
    texts: list[str]
    values: tuple[Any, ...]
    sources: list[Source | None]
    instructions: list[Instruction]
    unchanged: bool

    def of(self, key: Key) -> list[int]:
        """The numbers of a row's equations."""
        return [number for number, own in enumerate(self.keys) if own == key]

    def owner(self, instruction: Instruction) -> Key | None:
        """The row that an instruction is counted in; `None` where its name tells none."""
        return self.keys[instruction.equations[0]] if instruction.equations else None


def explain(problem: Problem) -> dict[str, Method]:
    """Both ways, equation by equation."""
    made = {"autodiff": gradients.autodiff, "manual": gradients.manual}
    return {
        name: _explain(problem, make(problem.model, problem.loss)) for name, make in made.items()
    }


def rows(methods: dict[str, Method], problem: Problem) -> list[Key]:
    """All rows: forwards through the layers, then backwards."""
    names = [LAYOUT, *scopes(problem.model.layers), "loss"]
    found = {key for method in methods.values() for key in method.keys}

    def order(key: Key) -> tuple[bool, int, str]:
        place = names.index(key.layer)
        return (True, -place, key.role) if key.role != FORWARD else (False, place, "")

    return sorted(found, key=order)


def formula(key: Key, problem: Problem) -> str:
    """The equations of a row; those of the loss with what its functions say of themselves."""
    known = EQUATIONS.get(key.layer.rstrip("0123456789"), ACTIVATION)
    if key.role == UNUSED:
        return "needed by no gradient: the compiler leaves it out"
    text = ";  ".join(known.get(role, f"{role} of {key.layer}") for role in key.role.split())
    functions = {FORWARD: problem.loss.function, "BP1": problem.loss.derivative}
    said = (key.layer == "loss" and functions[key.role].__doc__) or ""
    return f"{text}: {said.splitlines()[0]}" if said else text


def _explain(problem: Problem, value_and_grad: Callable[..., Any]) -> Method:
    arguments = problem.arguments("float32")
    jaxpr = jax.make_jaxpr(value_and_grad)(*arguments)
    numbers = itertools.count()
    inputs = [next(numbers) for _ in jaxpr.jaxpr.invars]
    known: dict[int, Any] = {}
    steps, outputs = _flatten(jaxpr, inputs, numbers, known)
    whose: dict[int, set[tuple[str, str]]] = collections.defaultdict(set)
    names = scopes(problem.model.layers)
    grads = [
        (name, field) for name, p in zip(names, problem.params, strict=True) for field in leaves(p)
    ]
    labels = dict(zip(inputs, [*map(".".join, grads), "images", "labels"], strict=True))
    for output, leaf in zip(outputs, [("", "value")] * 2 + grads, strict=True):
        whose[output].add(leaf)
    keys: list[Key] = []
    for step in reversed(steps):
        reach = set().union(*(whose[number] for number in step.writes))
        for number in step.reads:
            whose[number] |= reach
        keys.insert(0, _key(step.scope, reach, names))
    texts = []
    for place, step in enumerate(steps):
        read = [labels.get(n) or _short(known[n]) for n in step.reads]
        labels |= dict.fromkeys(step.writes, f"[{place}]")
        kind = step.equation.outvars[0].aval.str_short(short_dtypes=True)
        texts.append(f"[{place}] {kind} = {step.equation.primitive.name} {' '.join(read)}")

    results: list[Any] = []

    def run(params: Any, images: Any, labels: Any) -> list[Any]:
        results.clear()
        leaves = jax.tree.leaves((params, images, labels))
        memory = known | dict(zip(inputs, leaves, strict=True))
        for place, step in enumerate(steps):
            primitive, operands = step.equation.primitive, [memory[n] for n in step.reads]
            with jax.named_scope(f"equation{place}"):
                out = primitive.bind(*operands, **step.equation.params)
            out = out if primitive.multiple_results else [out]
            memory |= dict(zip(step.writes, out, strict=True))
            results.append(out[0])
        return [memory[number] for number in outputs]

    text, plain = (
        str(jax.jit(function).lower(*arguments).compile().as_text())
        for function in (run, value_and_grad)
    )
    same = programs.fingerprint(text) == programs.fingerprint(plain)
    values = jax.jit(lambda *given: (run(*given), tuple(results))[1])(*arguments)
    sources = [step.source for step in steps]
    return Method(keys, texts, values, sources, instructions(text), same)


def _key(scope: str, reach: set[tuple[str, str]], names: list[str]) -> Key:
    found = re.findall(r"[^/()]+", scope)
    name = next((part for part in found if part in [*names, "loss"]), LAYOUT)
    if ("", "value") in reach:
        return Key(name, FORWARD)
    if name in (LAYOUT, "loss"):
        return Key("loss", "BP1")
    own = {"weights": "BP4", "biases": "BP3"}
    roles = {own.get(f, f"∂C/∂{f}") if layer == name else "BP2" for layer, f in reach}
    return Key(name, " ".join(sorted(roles)) or UNUSED)


def _flatten(
    closed: Any,
    inputs: list[int],
    numbers: "itertools.count[int]",
    known: dict[int, Any],
    scope: str = "",
    source: Source | None = None,
) -> tuple[list[Step], list[int]]:
    """The equations of a jaxpr in one list, of what depends on the platform this one's only."""

    def new(value: Any) -> int:
        known[number := next(numbers)] = value
        return number

    jaxpr = getattr(closed, "jaxpr", closed)
    env = dict(zip(jaxpr.invars, inputs, strict=True))
    env |= {
        var: new(value)
        for var, value in zip(jaxpr.constvars, getattr(closed, "consts", ()), strict=True)
    }

    def read(variables: Iterable[Any]) -> list[int]:
        return [new(v.val) if isinstance(v, Literal) else env[v] for v in variables]

    steps: list[Step] = []
    for equation in jaxpr.eqns:
        name, reads = equation.primitive.name, read(equation.invars)
        where = f"{scope}/{equation.source_info.name_stack}"
        here = source or _source(equation.source_info.traceback)
        inner = equation.params.get("call_jaxpr") or equation.params.get("jaxpr")
        if name == "platform_index":
            platforms = equation.params["platforms"]
            mine = (i for i, p in enumerate(platforms) if not p or jax.default_backend() in p)
            env[equation.outvars[0]] = new(next(mine))
            continue
        if name == "cond" and reads[0] in known:
            inner, here = equation.params["branches"][known[reads.pop(0)]], source
        elif name not in ("jit", "custom_jvp_call", "custom_vjp_call"):
            inner = None
        if inner:
            more, writes = _flatten(inner, reads, numbers, known, where, here)
            steps += more
        else:
            writes = [next(numbers) for _ in equation.outvars]
            steps.append(Step(equation, reads, writes, where, here))
        env |= dict(zip(equation.outvars, writes, strict=True))
    return steps, read(jaxpr.outvars)


def _source(traceback: Any) -> Source | None:
    for code, at in zip(*traceback.raw_frames(), strict=True) if traceback else ():
        file = Path(code.co_filename)
        if file.is_relative_to(PACKAGE):
            line, end_line, column, end = next(itertools.islice(code.co_positions(), at // 2, None))
            return Source(str(file.relative_to(PACKAGE)), line, column, end_line, end)
    return None


def _short(value: Any) -> str:
    return f"{value:g}" if getattr(value, "ndim", 0) == 0 and value == value else "constant"


def written(method: Method, key: Key) -> list[Source]:
    """The expressions of the package that a row's equations come from, the widest of each."""
    found = {source for number in method.of(key) if (source := method.sources[number])}
    return sorted(s for s in found if not any(s.within(other) for other in found))


def instructions(text: str) -> list[Instruction]:
    """Those of an optimised program, inside fusions too, parameters and constants apart."""
    found, computation = [], ""
    inside: dict[str, list[int]] = collections.defaultdict(list)
    for line in text.splitlines():
        if header := programs.HEADER.match(line):
            computation = header[1]
        elif programs.INSTRUCTION.match(line):
            what = programs.NO_MEANING.sub("", line).strip().removeprefix("ROOT ")
            if re.search(r" (parameter|constant)\(", what):
                continue
            names = re.search(r'op_name="([^"]*)"', line)
            numbers = [int(n) for n in re.findall(r"\bequation(\d+)/", names[1] if names else "")]
            if called := re.search(r"calls=(%[\w.\-]+)", what):
                numbers += inside[called[1]]
            what = re.sub(r"(?<=\])\{[\d,]*\}|, backend_config=.*", "", what)
            found.append(Instruction(what, computation, tuple(dict.fromkeys(numbers))))
            inside[computation] += numbers
    return found
