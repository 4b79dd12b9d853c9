"""What becomes of each equation of back-propagation, found by names and by the flow of data."""

import dataclasses
import linecache
import re

import jax
import numpy as np
import pytest

from digits_jax import gradients
from experiments.comparison import explain, explained, programs
from experiments.comparison.explain import PACKAGE, Key
from experiments.comparison.problem import make_problem


@pytest.fixture(scope="module", params=["dense", "convolutional", "cross_entropy"])
def found(request, config, splits):
    """A problem, and what was found for it."""
    if request.param == "convolutional":
        problem = request.getfixturevalue("convolutional")
    else:
        loss = "quadratic" if request.param == "dense" else request.param
        problem = make_problem(dataclasses.replace(config, loss=loss), splits)
    return problem, explain.explain(problem)


def test_every_instruction_is_in_one_row_or_listed_as_in_none(found):
    problem, methods = found
    rows = explain.rows(methods, problem)
    for name, make in {"autodiff": gradients.autodiff, "manual": gradients.manual}.items():
        value_and_grad = make(problem.model, problem.loss)
        text = jax.jit(value_and_grad).lower(*problem.arguments("float32")).compile().as_text()
        constants = len(re.findall(r"^\s+(?:ROOT )?%\S+ = [^=]* constant\(", text, re.MULTILINE))
        method = methods[name]
        owners = [method.owner(i) for i in method.instructions]
        assert len(owners) == programs.count(text) - constants
        assert {owner for owner in owners if owner} <= set(rows)
        # What XLA adds by itself: constants filled out, layouts, parts of a pad, the tuple.
        kinds = {
            explained.kind(i.text)
            for i, owner in zip(method.instructions, owners, strict=True)
            if owner is None
        }
        assert kinds <= {"broadcast", "copy", "bitcast", "fusion", "pad", "tuple"}
        assert owners.count(None) <= len(owners) / 4


def test_names_of_equations_leave_the_program_as_it_is(found):
    assert all(method.unchanged for method in found[1].values())


def test_every_equation_is_in_the_source_the_jaxpr_and_the_programs(found):
    problem, methods = found
    rows = explain.rows(methods, problem)
    affine = [name for name in explain.scopes(problem.model.layers) if name[:4] in ("dens", "conv")]
    expected = {Key("loss", "BP1")}
    expected |= {Key(name, role) for name in affine for role in ("BP3", "BP4")}
    expected |= {Key(name, "BP2") for name in affine[1:]}
    assert expected <= set(rows)
    for key in expected:
        parts = explained.parts(methods, key)
        if key == Key("dense1", "BP2") and Key("flatten1", "BP2") in rows and affine[0] != "dense1":
            # XLA makes the transposition after the product a part of it, and names that.
            neighbour = explained.parts(methods, Key("flatten1", "BP2"))["XLA, manual"]
            assert any(" dot(" in line for line in neighbour + parts["XLA, manual"])
            del parts["XLA, manual"]
            assert all(parts.values())
            continue
        assert all(parts.values()), key
        assert parts.keys() == {"by hand", "jax.grad", "XLA, autodiff", "XLA, manual", "numbers"}
    for key in set(rows) - expected:
        assert explain.formula(key, problem)


def test_the_expressions_are_those_of_the_lines_named(found):
    problem, methods = found
    texts = {}
    for key in explain.rows(methods, problem):
        for source in explain.written(methods["manual"], key):
            line = linecache.getline(str(PACKAGE / source.file), source.line)
            assert source.text().split()[0] in line
            texts.setdefault(key.role, set()).add((source.file, source.text()))
    assert ("layers/columns.py", "delta @ a.T") in texts["BP4"]
    assert ("layers/columns.py", "delta.sum(axis=1)") in texts["BP3"]
    assert ("layers/columns.py", "p.weights.T @ delta") in texts["BP2"]


def test_the_numbers_are_those_of_the_gradient(found):
    problem, methods = found
    for name, make in {"autodiff": gradients.autodiff, "manual": gradients.manual}.items():
        value_and_grad = jax.jit(make(problem.model, problem.loss))
        (loss, _), grads = value_and_grad(*problem.arguments("float32"))
        method = methods[name]

        def value(layer, role, method=method):
            return method.values[method.of(Key(layer, role))[-1]]

        np.testing.assert_allclose(value("loss", "forward"), loss, rtol=1e-6)
        for layer, grad in zip(explain.scopes(problem.model.layers), grads, strict=True):
            if grad:
                np.testing.assert_allclose(value(layer, "BP4"), grad.weights, rtol=1e-4, atol=1e-7)
                np.testing.assert_allclose(value(layer, "BP3"), grad.biases, rtol=1e-4, atol=1e-7)


def test_text_fits_a_terminal_and_the_page_lists_all(found):
    problem, methods = found
    lines = explained.answer(methods, problem)
    assert max(map(len, lines)) <= 100
    page = explained.make(methods, problem)
    for method in methods.values():
        for instruction in method.instructions:
            assert instruction.text.replace("&", "&amp;").replace(">", "&gt;") in page
