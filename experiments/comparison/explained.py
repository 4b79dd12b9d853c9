"""What `explain` has found as text of 100 columns, and as a page."""

import collections
import re
import textwrap
from xml.etree.ElementTree import Element

import jax
import numpy as np

from digits_jax.reports.page import element, page, section, table
from experiments.comparison import explain
from experiments.comparison.explain import Key, Method, formula, written
from experiments.comparison.problem import Problem

TITLE = "jax.grad beside the equations"
BESIDE = (
    "display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:0 2rem"
)
CODE = "margin:.25rem 0 .75rem;font-size:.85rem;white-space:pre-wrap;overflow-wrap:anywhere"
NONE = "nothing of its own: left out, or one with a neighbour and named for that"
MOST = 4  # lines of a kind in the terminal, before they are summed up


def title(key: Key) -> str:
    """A row's layer and equation, in words."""
    return key.layer if key.role == explain.FORWARD else f"{key.layer}, {key.role}"


def parts(methods: dict[str, Method], key: Key) -> dict[str, list[str]]:
    """A row's lines: by hand, of the jaxpr of `jax.grad`, of both programs, and in numbers."""
    manual, autodiff = methods["manual"], methods["autodiff"]
    found = {
        "by hand": [f"{s.file}:{s.line}  {s.text()}" for s in written(manual, key)],
        "jax.grad": [autodiff.texts[number] for number in autodiff.of(key)],
    }
    for name, method in methods.items():
        own = [i for i in method.instructions if method.owner(i) == key]
        shared = [
            f"also in {i.text.split()[0]}, a row of {title(other)}"
            for i in method.instructions
            if (other := method.owner(i)) and other != key and " fusion(" in i.text
            if any(method.keys[number] == key for number in i.equations)
        ]
        found[f"XLA, {name}"] = [i.text for i in own] + shared
    values = [np.asarray(m.values[m.of(key)[-1]]) for m in methods.values() if m.of(key)]
    if key.role != explain.UNUSED:
        found["numbers"] = [numbers(values)]
    return found


def numbers(values: list[np.ndarray]) -> str:
    """The result of both ways: its size, some of it, and the largest difference."""
    value = values[0].ravel().astype(np.float64)
    first = np.argsort(-abs(value), kind="stable")[:3]
    largest = ", ".join(f"{value[i]:.4g}" for i in first)
    shape = "x".join(map(str, values[0].shape)) or "scalar"
    text = f"{shape}, norm {np.linalg.norm(value):.4g}, largest {largest}"
    if len(values) == 2 and values[0].shape == values[1].shape:
        text += f"; by hand within {np.max(abs(values[0] - values[1]), initial=0):.1g}"
    return text


def answer(methods: dict[str, Method], problem: Problem) -> list[str]:
    """The rows, for a terminal."""
    lines = [heading(problem)]
    for key in explain.rows(methods, problem):
        lines += ["", *textwrap.wrap(f"{title(key)}:  {formula(key, problem)}", 100)]
        for name, content in parts(methods, key).items():
            if len(content) > MOST and name != "by hand":
                kinds = collections.Counter(kind(line) for line in content)
                summed = ", ".join(f"{n} {what}" if n > 1 else what for what, n in kinds.items())
                content = [f"{len(content)}: {summed}"]
            for line in content or [NONE]:
                begin = f"  {name:14}"
                lines += textwrap.wrap(line, 100, initial_indent=begin, subsequent_indent=" " * 18)
                name = ""
    for name, method in methods.items():
        lines += ["", *textwrap.wrap(of_all(name, method), 100)]
    return lines


def kind(line: str) -> str:
    """What a line does, without its operands."""
    found = re.search(r" = (?:\(.*?\) |\S+\[\S* )?([\w\-]+)", line)
    return found[1] if found else line


def heading(problem: Problem) -> str:
    """What is explained."""
    place = problem.place
    return f"{place.network}, batch {place.batch_size}, {problem.config.loss} loss, float32"


def of_all(name: str, method: Method) -> str:
    """How many instructions of a program have a row, and what the others are."""
    rest = collections.Counter(kind(i.text) for i in method.instructions if not method.owner(i))
    others = ", ".join(f"{n} {what}" for what, n in rest.items())
    same = "the same" if method.unchanged else "another"
    count = len(method.instructions)
    return (
        f"{name}: {count - rest.total()} of {count} instructions have a row; XLA names no equation "
        f"for {others or 'none'}. Equations named, the program is {same}."
    )


def make(methods: dict[str, Method], problem: Problem) -> str:
    """The page, which asks no other file and no host for anything."""
    about = (
        "For each equation: the expression of this package that computes it by hand; the equations "
        "of the jaxpr of jax.grad with the same part in the gradients; and the instructions of the "
        f"programs that XLA makes of both (jax {jax.__version__}, {jax.default_backend()}). "
        "Results are named by the number of their equation. One %fusion is one loop: it computes "
        "the instructions of the computation that it calls, and is counted "
        "where its result belongs."
    )
    body = [element("h1", TITLE), element("p", heading(problem)), element("p", about)]
    for key in explain.rows(methods, problem):
        content = [
            listing(name, lines, len(lines) > 12) for name, lines in parts(methods, key).items()
        ]
        formulated = element("p", formula(key, problem), style="font-size:1.15rem")
        body.append(section(title(key), formulated, element("div", *content, style=BESIDE)))
    for name, method in methods.items():
        lines = [
            (
                i.text,
                i.computation,
                title(owner) if (owner := method.owner(i)) else "not attributed",
            )
            for i in method.instructions
        ]
        every = [(belongs, computation, text) for text, computation, belongs in lines]
        header = ("belongs to", "in", "instruction")
        shown = table(header, every, f"The program of {name}, line by line", words=True)
        summary = element("p", of_all(name, method))
        body.append(section(f"All that the compiler runs: {name}", summary, shown))
    return page(TITLE, body)


def listing(name: str, lines: list[str], folded: bool) -> Element:
    """Lines of code under their name, folded where there are many."""
    code = element("pre", "\n".join(lines) or NONE, style=CODE)
    if folded:
        return element("details", element("summary", f"{name}: {len(lines)} lines"), code)
    return element("div", element("div", name, class_="quiet"), code)
