"""Reading a compiled program: what a step of its loop computes, sends and calls.

XLA prints a program as computations, each a list of instructions (`%z = f32[30,10] dot(%w, %x)`).
A training loop is one `while` instruction, whose body is a step.
"""

import collections
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

# The scope of a training's loop over steps, by which its `while` is found.
STEPS = "steps"
ARRAY = re.compile(r"\b(?:pred|[a-z]+(\d+)\w*)\[([\d,]*)\]")
INSTRUCTION = re.compile(r"\s+(?:ROOT )?%?([\w.-]+) = (.*?) ([a-z][\w-]*)\(([^)]*)\)(.*)")
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
# They name, or order, what other instructions compute.
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "after-all"}
FREE |= {"conditional", "call", "optimization-barrier", "partition-id", "copy-done", "copy-start"}
ON_THE_HOST = ("infeed", "outfeed", "send", "recv")
LIBRARIES = {"cublas": "cuBLAS", "cudnn": "cuDNN", "onednn": "oneDNN", "ynn": "YNN"}


class Instruction(NamedTuple):
    """An instruction: its name, the shape of its result, the operation, its arguments, the rest."""

    name: str
    shape: str
    operation: str
    arguments: str
    text: str

    @property
    def operands(self) -> tuple[str, ...]:
        """The instructions whose results it takes."""
        return tuple(re.findall(r"%([\w.-]+)", self.arguments))

    def called(self, role: str) -> list[str]:
        """The computations that the instruction calls in a role, as in body."""
        found = re.search(rf"\b{role}=(\{{[^}}]*\}}|%?[\w.-]+)", self.text)
        return re.findall(r"[\w.-]+", found[1]) if found else []


Computation = dict[str, Instruction]


class Step(NamedTuple):
    """What one device does in a step of a program.

    Attributes:
        cycles: the compiler's own estimate; `None` where it makes none.
        bytes_moved: the bytes that its operations read and write, in whichever memory.
        kernels: operations that are started one after another.
        collectives: the bytes that go into each collective, by operation.
        calls: how often each function of a library is called.
    """

    cycles: int | None
    bytes_moved: int
    kernels: int
    collectives: Mapping[str, Sequence[int]]
    calls: Mapping[str, int]


def parse(text: str) -> tuple[str, dict[str, Computation]]:
    """The computations of a compiled program by name, and the name of that which begins."""
    computations: dict[str, Computation] = {}
    entry = name = ""
    for line in text.splitlines():
        if head := re.match(r"(ENTRY )?%?([\w.-]+) .*\{$", line):
            name = head[2]
            entry = name if head[1] else entry
            computations[name] = {}
        elif name and (found := INSTRUCTION.match(line)):
            computations[name][found[1]] = Instruction(*found.groups())
    return entry, computations


def size(shape: str) -> int:
    """The bytes of an array, or of all arrays of a tuple."""
    return sum(
        math.prod(map(int, filter(None, sides.split(",")))) * max(1, int(bits or 8) // 8)
        for bits, sides in ARRAY.findall(shape)
    )


def executed(
    computations: Mapping[str, Computation], name: str, times: int = 1
) -> Iterator[tuple[Computation, Instruction, int]]:
    """Every instruction that a computation runs, and how often; loops inside it are followed."""
    for one in computations[name].values():
        yield computations[name], one, times
        inside = times * trips(computations, one) if one.operation == "while" else times
        roles = ("body", "branch_computations", "true_computation", "false_computation")
        called = [other for role in roles for other in one.called(role)]
        if one.operation == "call":
            called += one.called("to_apply")
        for other in called:
            yield from executed(computations, other, inside)


def trips(computations: Mapping[str, Computation], loop: Instruction) -> int:
    """How often a loop runs: as the compiler knows it, or the bound of its condition; else 1."""
    if known := re.search(r'known_trip_count":\{"n":"(\d+)"', loop.text):
        return int(known[1])
    condition = "".join(loop.called("condition"))
    numbers = [one for one in computations[condition].values() if one.operation == "constant"]
    return max([int(one.arguments) for one in numbers if one.arguments.isdigit()], default=1)


def read_step(text: str) -> tuple[Step, Mapping[str, Sequence[int]]]:
    """A step of a program's loop over steps, and the collectives outside of that loop.

    A program without such a loop, as the compiler makes of a single step, is a step as a whole.
    """
    entry, computations = parse(text)
    named = re.compile(rf'op_name="[^"]*\b{STEPS}/while"')
    everything = [one for _, one, _ in executed(computations, entry)]
    loops = [one for one in everything if one.operation == "while" and named.search(one.text)]
    inside = loops[-1].called("body")[0] if loops else entry
    found = list(executed(computations, inside))
    own = {id(one) for _, one, _ in found}
    cycles = moved = kernels = 0
    calls: collections.Counter[str] = collections.Counter()
    for computation, one, times in found:
        if cost := re.search(r'"estimated_cycles":"(\d+)"', one.text):
            cycles += times * int(cost[1])
        if one.operation not in FREE and not one.operation.endswith("-done"):
            kernels += times
            moved += times * traffic(computations, computation, one)
        if library := library_call(one):
            calls[library] += times
    outside = [one for one in everything if id(one) not in own]
    return (
        Step(cycles or None, moved, kernels, collectives([one for _, one, _ in found]), calls),
        collectives(outside) if loops else {},
    )


def collectives(instructions: Sequence[Instruction]) -> dict[str, list[int]]:
    """The bytes that go into each collective, by operation."""
    sizes: dict[str, list[int]] = {}
    for one in instructions:
        if (operation := one.operation.removesuffix("-start")) in COLLECTIVES:
            sizes.setdefault(operation, []).append(size(one.shape))
    return sizes


def traffic(
    computations: Mapping[str, Computation], computation: Computation, one: Instruction
) -> int:
    """The bytes that an instruction reads and writes.

    Of an array out of which it gathers or slices, or into which it puts a slice, that part counts.
    """
    fused = computations.get("".join(one.called("calls")), {})
    given = {
        int(inner.arguments): inner for inner in fused.values() if inner.operation == "parameter"
    }
    total = size(one.shape)
    for position, operand in enumerate(one.operands):
        whole = size(computation[operand].shape) if operand in computation else 0
        users = [one]
        name = operand
        if position in given:
            name = given[position].name
            users = [inner for inner in fused.values() if name in inner.operands]
        parts = [part(fused or computation, user, name) for user in users]
        known = [size for size in parts if size is not None]
        total += sum(known) if known and len(known) == len(parts) else whole
        if users and all(user.operation == "dynamic-update-slice" for user in users) and known:
            total -= max(0, whole - sum(known))  # the rest of it is not written either
    return max(total, 0)


def part(computation: Computation, user: Instruction, name: str) -> int | None:
    """The bytes of an array that an instruction reads, where it does not read all of it."""
    if user.operands[:1] != (name,):
        return None
    if user.operation in ("gather", "dynamic-slice"):
        return size(user.shape)
    if user.operation == "dynamic-update-slice":
        return size(computation[user.operands[1]].shape)
    return None


def library_call(one: Instruction) -> str | None:
    """The function of a library that an instruction calls, as in cuDNN convForward."""
    target = re.search(r'custom_call_target="([^"]*)"', one.text)
    kind = re.search(r'"kind":"__(\w+?)_fusion"', one.text)
    words = target[1] if target else kind[1] if kind else ""
    library, _, function = words.strip("_").partition("$")
    known = LIBRARIES.get(library.lower())
    return f"{known} {function}".strip() if known else None


def forbidden(text: str) -> list[str]:
    """What no training here should hold: float64, and transfers to or from the host."""
    _, computations = parse(text)
    every = [one for computation in computations.values() for one in computation.values()]
    wide = ["float64"] if any(re.search(r"\bf64\[", one.shape) for one in every) else []
    hosts = {one.operation for one in every if one.operation.startswith(ON_THE_HOST)}
    hosts |= {"callback" for one in every if "callback" in one.text and "custom_call" in one.text}
    return wide + sorted(hosts)
