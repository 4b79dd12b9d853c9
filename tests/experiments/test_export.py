"""`python -m experiments.export` as a user runs it."""

import pytest

from digits_jax import export


@pytest.fixture(scope="module")
def run(tmp_path_factory, train_run):
    folder = tmp_path_factory.mktemp("runs") / "mine"
    return train_run(folder, hidden=("4",), train_size=100, validation_size=50, epochs=1)


@pytest.mark.parametrize("kind", ["html", "onnx", "stablehlo"])
def test_it_writes_a_file_named_after_the_run_and_says_how_to_use_it(
    run_module, run, tmp_path, kind
):
    pytest.importorskip("onnx", reason="onnx is not installed")
    output = tmp_path / f"page.{kind}"
    process = run_module("experiments.export", run, f"--format={kind}", f"--output={output}")
    assert process.returncode == 0, process.stderr
    first, *usage = process.stdout.splitlines()
    assert first == f"{output}: bytes {output.stat().st_size:,}"
    assert len(usage) == 2
    assert str(output) in usage[0]


def test_nothing_is_overwritten_unless_told_so(run_module, run, tmp_path, assert_one_line_error):
    output = tmp_path / "model.stablehlo"
    output.write_text("precious")
    flags = ("--format=stablehlo", f"--output={output}")
    process = run_module("experiments.export", run, *flags)
    assert_one_line_error(process, "choose another output, or give --overwrite")
    assert output.read_text() == "precious"
    assert run_module("experiments.export", run, *flags, "--overwrite").returncode == 0
    assert output.stat().st_size > 1_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected one or two runs or --model"),
        (["nowhere"], "nowhere: no such run"),
        (["."], ".: not a finished run: model.safetensors is not there"),
        (["--model=nobody"], "model=nobody: with the library come: "),
        (["a", "b", "--format=onnx"], "expected one run or --model"),
        (["--format=pdf"], "pdf"),
    ],
)
def test_a_mistake_is_told_in_one_line(run_module, assert_one_line_error, arguments, message):
    assert_one_line_error(run_module("experiments.export", *arguments), message)


def test_the_model_that_comes_with_the_library(run_module, tmp_path):
    try:
        export.shipped("classic")
    except ValueError:
        pytest.skip("no model comes with this version yet")
    output = tmp_path / "classic.html"
    process = run_module("experiments.export", "--model=classic", f"--output={output}")
    assert process.returncode == 0, process.stderr
    assert output.stat().st_size < 550_000
