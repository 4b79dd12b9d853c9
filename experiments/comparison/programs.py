"""Table 3: what XLA makes of reverse mode and of the four equations: the same program, or not.

Two optimised programs are compared as graphs. What carries no meaning is taken out: the names of
instructions and computations, source locations and other metadata, and the order in which the text
lists instructions that do not depend on each other.
"""

import hashlib
import re
from collections import Counter
from typing import Any, NamedTuple

import jax

from digits_jax.config import hyperparameters
from digits_jax.training import make_training
from experiments.comparison.methods import METHODS, precision, start
from experiments.comparison.problem import Problem

NAME = re.compile(r"%[\w.\-]+")
METADATA = re.compile(r', metadata=\{(?:"(?:[^"\\]|\\.)*"|[^}"])*\}')
INDEX = re.compile(r"/\*.*?\*/")
HEADER = re.compile(r"^(ENTRY )?(%[\w.\-]+) .*\{$")
INSTRUCTION = re.compile(r"^\s+(ROOT )?(%[\w.\-]+) = (.*)$")


class Instruction(NamedTuple):
    """A line of a program: `shape opcode(operands), attributes`; for a constant, its literal."""

    name: str
    shape: str
    opcode: str
    operands: str
    attributes: str
    root: bool


class Program(NamedTuple):
    """The computations of a program in the order of the text: callees first, the entry last."""

    computations: dict[str, list[Instruction]]
    entry: str


class Row(NamedTuple):
    """One program of one method, and whether autodiff and manual have the same.

    `instructions` counts all of them, those inside fusions and reductions included, but not the
    parameters of each computation; `own_instructions` those without a like in the other's program.
    """

    network: str
    batch_size: int
    program: str
    dtype: str
    method: str
    flops: float | None
    bytes_accessed: float | None
    temporary_bytes: int | None
    instructions: int
    own_instructions: int
    same: bool


class KindRow(NamedTuple):
    """How often a program holds an instruction, by kind (`opcode`) or whole (`instruction`)."""

    network: str
    batch_size: int
    program: str
    dtype: str
    by: str
    instruction: str
    autodiff: int
    manual: int


def parse(text: str) -> Program:
    """Reads the text of an optimised HLO module.

    Raises:
        ValueError: where it holds no entry computation.
    """
    computations: dict[str, list[Instruction]] = {}
    entry, current = "", ""
    for line in INDEX.sub("", METADATA.sub("", text)).splitlines():
        if header := HEADER.match(line):
            current = header[2]
            computations[current] = []
            entry = current if header[1] else entry
        elif (found := INSTRUCTION.match(line)) and current:
            root, name, rest = found.groups()
            shape_end = _closing(rest) if rest.startswith("(") else rest.index(" ")
            shape, rest = rest[:shape_end].strip(), rest[shape_end:].lstrip()
            opcode, rest = rest.split("(", 1)
            end = _closing("(" + rest) - 1
            operands, attributes = rest[: end - 1], rest[end:]
            computations[current].append(
                Instruction(name, shape, opcode, operands, attributes, bool(root))
            )
    if not entry:
        raise ValueError("no ENTRY computation: this is not the text of an HLO module")
    return Program(computations, entry)


def _closing(text: str) -> int:
    """The index behind the parenthesis that closes the one `text` begins with."""
    depth = 0
    for index, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return index + 1
    raise ValueError(f"unbalanced parentheses: {text[:80]}")


def fingerprint(program: Program) -> str:
    """A hash that two programs share where they are the same graph of instructions.

    An instruction's hash covers shape, kind, attributes, and the hashes of its operands and of the
    computations that it calls; a computation's those of all its instructions.
    """
    computations: dict[str, str] = {}
    for name, instructions in program.computations.items():
        local: dict[str, str] = {}

        def named(match: re.Match[str], local: dict[str, str] = local) -> str:
            return local.get(match[0]) or computations.get(match[0], "?")

        for instruction in instructions:
            parts = (NAME.sub(named, str(part)) for part in instruction[1:])
            local[instruction.name] = _hash(*parts)
        computations[name] = _hash(*sorted(local.values()))
    return computations[program.entry]


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def kinds(program: Program) -> Counter[str]:
    """How often the program holds each kind of instruction, in all its computations."""
    return Counter(instruction.opcode for instruction in _instructions(program))


def signatures(program: Program) -> Counter[str]:
    """How often it holds each instruction, operands named by their shapes."""
    found: Counter[str] = Counter()
    for computation in program.computations.values():
        shapes = {instruction.name: instruction.shape for instruction in computation}
        for _, shape, opcode, operands, attributes, _ in computation:
            if opcode != "parameter":
                for operand in NAME.findall(operands):
                    operands = operands.replace(operand, shapes[operand], 1)
                attributes = NAME.sub("%", attributes)
                found[f"{shape} {opcode}({operands}){attributes}"] += 1
    return found


def _instructions(program: Program) -> list[Instruction]:
    return [
        instruction
        for computation in program.computations.values()
        for instruction in computation
        if instruction.opcode != "parameter"
    ]


def rows(problem: Problem, dtype: str, whole_run: bool) -> tuple[list[Row], list[KindRow]]:
    """The gradient's program by both methods; with `whole_run`, train_step's and epoch's as well.

    Args:
        problem: the network and batch.
        dtype: the type of parameters and pixels.
        whole_run: whether to compile the larger programs.
    """
    found: list[Row] = []
    kinds_found: list[KindRow] = []
    with precision(dtype):
        both = {name: _lower(problem, name, dtype, whole_run) for name in ("autodiff", "manual")}
        for program in both["autodiff"]:
            compiled = {name: both[name][program].compile() for name in both}
            parsed = {name: parse(compiled[name].as_text()) for name in both}
            same = fingerprint(parsed["autodiff"]) == fingerprint(parsed["manual"])
            key = problem.network, problem.config.batch_size, program, dtype
            for name, other in (("autodiff", "manual"), ("manual", "autodiff")):
                cost, memory = compiled[name].cost_analysis(), compiled[name].memory_analysis()
                own = signatures(parsed[name]) - signatures(parsed[other])
                found.append(
                    Row(
                        *key,
                        name,
                        cost.get("flops"),
                        cost.get("bytes accessed"),
                        memory and memory.temp_size_in_bytes,
                        len(_instructions(parsed[name])),
                        own.total(),
                        same,
                    )
                )
            for by, count in (("opcode", kinds), ("instruction", signatures)):
                counts = [count(parsed[name]) for name in both]
                kinds_found += [
                    KindRow(*key, by, kind, counts[0][kind], counts[1][kind])
                    for kind in sorted(set(counts[0]) | set(counts[1]))
                ]
    return found, kinds_found


def _lower(problem: Problem, method: str, dtype: str, whole_run: bool) -> dict[str, Any]:
    config, arguments = problem.config, problem.arguments(dtype, True)
    value_and_grad = METHODS[method].make(config, problem.model)
    lowered = {"gradient": jax.jit(value_and_grad).lower(*arguments)}
    if whole_run:
        training = make_training(config, problem.image_shape, problem.num_classes, value_and_grad)
        state, numbers = start(training, config, arguments[0]), hyperparameters(config)
        lowered["training step"] = jax.jit(training.train_step).lower(numbers, state, problem.batch)
    return lowered
