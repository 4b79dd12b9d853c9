"""The recorded accuracies: whole runs of the real commands, over named seeds."""

import json
import statistics

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def test_accuracies(run_module, tmp_path):
    """Test accuracy in percent of `experiments.train` with the given flags, for each seed."""

    def accuracies(seeds, *flags):
        values = []
        for seed in seeds:
            workdir = tmp_path / f"{'-'.join(flags).replace('/', '_')}-{seed}"
            process = run_module(
                "experiments.train", *flags, f"--seed={seed}", f"--workdir={workdir}"
            )
            assert process.returncode == 0, process.stderr
            summary = json.loads((workdir / "summary.json").read_text())
            values.append(100 * summary["test_accuracy"])
        print(
            f"\n{' '.join(flags) or 'no flags'}: test accuracy {statistics.mean(values):.2f} "
            f"+- {statistics.stdev(values):.2f} %, minimum {min(values):.2f}, "
            f"maximum {max(values):.2f}, n={len(values)} (seeds {seeds[0]} to {seeds[-1]}): "
            f"{' '.join(f'{value:.2f}' for value in values)}"
        )
        return values

    return accuracies


def test_the_classic_run_beats_the_classic_accuracy_with_every_seed(test_accuracies):
    assert min(test_accuracies(range(20))) > 92.78


def test_by_hand_within_a_tenth_of_a_point_of_autodiff(test_accuracies):
    by_autodiff = test_accuracies(range(5), "--gradients=autodiff")
    by_hand = test_accuracies(range(5), "--gradients=manual")
    for one, other in zip(by_autodiff, by_hand, strict=True):
        assert one == pytest.approx(other, abs=0.1)


def test_the_full_recipe(test_accuracies):
    accuracies = test_accuracies(range(5), "--flagfile=experiments/recipes/full.flags")
    assert statistics.mean(accuracies) >= 97.3


def test_the_cross_entropy_recipe(test_accuracies):
    accuracies = test_accuracies(range(5), "--flagfile=experiments/recipes/cross_entropy.flags")
    assert statistics.mean(accuracies) >= 95.0


def test_the_fast_recipe(test_accuracies):
    accuracies = test_accuracies(range(2), "--flagfile=experiments/recipes/fast.flags")
    assert statistics.mean(accuracies) >= 99.2
