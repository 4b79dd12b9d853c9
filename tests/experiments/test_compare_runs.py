"""`python -m experiments.compare_runs`: sweeps and runs together, and what is refused."""

import digits_jax


def test_sweeps_and_runs_are_compared_and_the_incomparable_is_refused(
    fork_module, assert_one_line_error, tmp_path, write_idx_folder, tiny_split
):
    def sweep(name, test_seed, *flags):
        data = write_idx_folder(
            tmp_path / f"data{test_seed}", tiny_split(60), tiny_split(12, seed=test_seed)
        )
        process = fork_module(
            "experiments.sweep",
            *(f"--data_dir={data}", f"--workdir={tmp_path / name}", "--train_size=40"),
            *("--validation_size=20", "--epochs=1", "--hidden=4", "--cpu_devices=1", *flags),
        )
        assert process.returncode == 0, process.stderr
        return tmp_path / name

    varied = ("--vary=learning_rate=0.1,3", "--vary=momentum=0.1,0.2")
    one = sweep("one", 1, *varied, "--seeds=3", "--optimizer=momentum")
    other = sweep("other", 2, *varied, "--seeds=2", "--optimizer=momentum")
    figure = tmp_path / "differences.png"
    process = fork_module(
        "experiments.compare_runs", one, "--by=learning_rate", f"--figure={figure}"
    )
    assert process.returncode == 0, process.stderr
    assert figure.read_bytes().startswith(b"\x89PNG")
    columns = digits_jax.load_runs(one)
    assert len(columns["run"]) == 12
    assert set(columns["momentum"].tolist()) == {0.1, 0.2}
    assert "each at its best: learning_rate=0.1 with momentum=0." in process.stdout
    assert "verdict  " in process.stdout

    refused = fork_module("experiments.compare_runs", one, other)
    assert_one_line_error(refused, f"{one} and {other} cannot be compared")
    same = fork_module("experiments.compare_runs", one, "--by=epochs")
    assert_one_line_error(same, "by=epochs: the runs differ in learning_rate, momentum")
    single = fork_module("experiments.compare_runs", one / "best", one / "best")
    assert_one_line_error(single, "given 2 times")
