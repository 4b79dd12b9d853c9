"""The loop of the benchmark: real processes that take turns."""

import resource

import pytest

from experiments.benchmarks.turns import COLD, WARM, Case, run, take_turns
from experiments.cli.timing import Unavailable


@pytest.fixture
def case(tmp_path):
    """A case that runs Python code: (code, **fields of Case)."""

    def make(code, name="one", **fields):
        (tmp_path / f"{name}_peer.py").write_text(code)
        fields["environment"] = fields.get("environment", {}) | {"PYTHONPATH": f"{tmp_path}:."}
        return Case("epochs", name, "10", (f"{name}_peer",), **fields)

    return make


def test_what_a_process_prints_is_measured_beside_its_time_and_its_own_memory(case, tmp_path):
    mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # with JAX
    code = "import json; held = bytearray({}); print('noise'); print(json.dumps({{'epoch': 0.5}}))"
    small = run(case(code.format(0)), tmp_path)
    large = run(case(code.format(200_000_000)), tmp_path)
    assert small.keys() == {"time", "memory", "epoch"}
    assert small["epoch"] == 0.5
    assert small["memory"] < mine / 2
    assert 200e6 < large["memory"] < 200e6 + 2 * small["memory"]


def test_folders_are_new_or_kept(case, tmp_path):
    code = (
        "import os, json; found = os.path.exists(os.environ['A'] + '/x')\n"
        "os.makedirs(os.environ['A'] + '/x', exist_ok=True)\n"
        "print(json.dumps({'epoch': int(found)}))"
    )
    for place, found in ((COLD, [0, 0]), (WARM, [0, 1])):
        cases = case(code, environment={"A": place})
        assert [run(cases, tmp_path)["epoch"] for _ in range(2)] == found


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import no_such_library", "not installed: 'no_such_library'"),
        ("raise ValueError('no such luck')", "ValueError: no such luck"),
    ],
)
def test_a_process_that_fails_says_why(code, message, case, tmp_path):
    with pytest.raises(Unavailable, match=message):
        run(case(code), tmp_path)


def test_the_fastest_form_takes_part_and_who_fails_gets_a_row(case):
    forms = [
        case(f"print('{{\"epoch\": {seconds}}}')", name, form=name)._replace(name="peer")
        for name, seconds in (("slow", 2.0), ("fast", 1.0))
    ]
    advanced = []
    missing = case("import no_such_library", "missing")
    found = take_turns([forms, [missing]], 2, lambda count, _: advanced.append(count))
    assert [m[:6] for m in found if m.quantity == "epoch"] == [
        ("epochs", "peer", "10", "fast", "epoch", 1.0)
    ]
    assert [(m.name, m.median, m.n) for m in found if m.note] == [("missing", None, 0)]
    assert sum(advanced) == 2
