"""What `explain` has found as text of 100 columns, and as a page."""

import collections
import re
import textwrap
from xml.etree.ElementTree import Element

import jax
import numpy as np

from digits_jax.reports.page import element, page, section
from experiments.comparison import explain
from experiments.comparison.explain import Key, Method, formula, written
from experiments.comparison.problem import Problem

TITLE = "jax.grad beside the equations"
BESIDE = (
    "display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:0 2rem"
)
MARK = "background:var(--note);color:inherit"
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


def agree(methods: dict[str, Method], key: Key) -> bool | None:
    """Whether both ways give the same result of a row; `None` where there is nothing to compare."""
    values = [
        np.asarray(m.values[m.of(key)[-1]], np.float64) for m in methods.values() if m.of(key)
    ]
    if len(values) < 2 or values[0].shape != values[1].shape or key.role == explain.UNUSED:
        return None
    largest = np.abs(values[0]).max(initial=0)
    return bool(np.abs(values[0] - values[1]).max(initial=0) <= 1e-4 * largest)


def make(methods: dict[str, Method], problem: Problem) -> str:
    """The page, which asks no other file and no host for anything.

    The equations of back-propagation come first, then those of the forward pass, then layout.
    """
    about = (
        "By hand on the left, jax.grad on the right; a tick: both give the same numbers on this "
        "batch. Folded below each: the instructions of the program that XLA makes of it "
        f"(jax {jax.__version__}, {jax.default_backend()}). Results are named by the number of "
        "their equation; the marked lines give the result of the row."
    )
    rows = explain.rows(methods, problem)
    rows.sort(
        key=lambda key: (key.layer == explain.LAYOUT, key.role in (explain.FORWARD, explain.UNUSED))
    )
    marks = {True: "✓ ", False: "✗ ", None: ""}
    titles = {key: f"{marks[agree(methods, key)]}{title(key)}" for key in rows}
    links = [
        element("a", text, href=f"#{anchor(key)}", style="white-space:nowrap")
        for key, text in titles.items()
    ]
    body = [element("h1", TITLE), element("p", heading(problem)), element("p", about)]
    body.append(element("nav", *links, style="display:flex;flex-wrap:wrap;gap:.25rem 1rem"))
    for key, text in titles.items():
        found = parts(methods, key)
        columns = [
            element(
                "div",
                listing(name, found[name], result(methods, key) if way == "manual" else -1),
                folded(f"XLA, {way}", found[f"XLA, {way}"]),
            )
            for name, way in (("by hand", "manual"), ("jax.grad", "autodiff"))
        ]
        content = [equations(key, problem), element("div", *columns, style=BESIDE)]
        content += [element("p", line, class_="quiet") for line in found.get("numbers", [])]
        row = section(text, *content)
        row.set("id", anchor(key))
        body.append(row)
    for name, method in methods.items():
        lines = [
            f"{title(owner) if (owner := method.owner(i)) else 'no row'}: {i.text}"
            for i in method.instructions
        ]
        summary = element("p", of_all(name, method))
        body.append(section(f"The whole program: {name}", summary, folded("line by line", lines)))
    return page(TITLE, body)


def anchor(key: Key) -> str:
    """What a link to a row names."""
    return re.sub(r"\W+", "-", f"{key.layer}-{key.role}")


def result(methods: dict[str, Method], key: Key) -> int:
    """Which of the expressions by hand gives the result of a row."""
    manual = methods["manual"]
    numbers = manual.of(key)
    last = manual.sources[numbers[-1]] if numbers else None
    every = written(manual, key)
    return next((n for n, s in enumerate(every) if last and (s == last or last.within(s))), -1)


def listing(name: str, lines: list[str], marked: int) -> Element:
    """Lines of code under their name; the one that gives the result is marked."""
    shown = [element("span", f"{line}\n") for line in lines or [NONE]]
    shown[marked].tag = "mark" if lines else "span"
    shown[marked].set("style", MARK if lines else "")
    return element("div", element("div", name, class_="quiet"), element("pre", *shown, style=CODE))


def folded(name: str, lines: list[str]) -> Element:
    """Lines of code behind their name."""
    summary = element("summary", f"{name}: {len(lines)} lines", class_="quiet")
    return element("details", summary, element("pre", "\n".join(lines) or NONE, style=CODE))


def equations(key: Key, problem: Problem) -> Element:
    """The equations of a row in MathML, and what its functions say of themselves as text."""
    found = formula(key, problem)
    formulas, _, said = found.partition(": ") if key.layer == "loss" else (found, "", "")
    each = [element("math", *map(_term, f.split()), display="block") for f in formulas.split(";  ")]
    words = [element("p", said)] if said else []
    return element("div", *each, *words, style="font-size:1.25rem;overflow-x:auto")


def _term(text: str) -> Element:
    """A word of a formula: a derivative, a letter with an exponent, an operator, or text."""
    if fraction := re.fullmatch(r"∂C/∂(\w)", text):
        top, bottom = (
            element("mrow", element("mo", "∂"), element("mi", name)) for name in ("C", fraction[1])
        )
        return element("mfrac", top, bottom)
    if power := re.fullmatch(r"(\w)ᵀ", text):
        return element("msup", element("mi", power[1]), element("mi", "T"))
    if text in ("=", "+", "·"):
        return element("mo", text)
    if len(text) == 1 or re.fullmatch(r"f'?\([az]\)", text):
        return element("mi", text.replace("'", "\u2032"))
    return element("mtext", f"\u00a0{text}\u00a0")
