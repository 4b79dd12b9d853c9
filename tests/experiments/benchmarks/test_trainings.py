"""Who takes part, in which form."""

import os

import pytest

from experiments.benchmarks.trainings import CLASSIC, OPERATIONS, Peer

CORES = sorted({1, os.cpu_count() or 1})
PEER = Peer("module", "library", [("a",), ("b",)], {1: (("b",), 1), 32: (("a",), 1)}, {"V": "7"})


@pytest.mark.parametrize(("batch_size", "form"), [(1, "b"), (31, "b"), (32, "a"), (1000, "a")])
def test_a_peer_comes_in_the_form_that_is_fastest_from_a_batch_size_on(batch_size, form):
    (found,) = PEER.contestants(batch_size)
    assert found.arguments == {"module": "module", "batch_size": batch_size, "form": (form,)}
    assert found.environment["OMP_NUM_THREADS"] == "1"
    assert found.environment["V"] == "7"
    assert found.label == f"{form}; 1 thread"


def test_all_forms_are_tried_on_one_thread_and_on_all_cores():
    tried = [
        (found.arguments["form"][0], int(found.environment["OMP_NUM_THREADS"]))
        for found in PEER.contestants(32, all_forms=True)
    ]
    assert tried == [(form, count) for form in "ab" for count in CORES]


def test_every_fastest_form_is_one_of_its_peers():
    for peer in CLASSIC.peers.values():
        assert {form for form, _ in peer.fastest.values()} <= set(peer.forms)
        assert 1 in peer.fastest


def test_what_scikit_learn_trains_is_measured_beside_it_alone():
    assert "autodiff, cross-entropy" in CLASSIC.with_peers(["scikit-learn"]).ours
    assert list(CLASSIC.with_peers(["NumPy"]).ours) == ["autodiff", "manual"]


def test_operations_of_the_classic_network():
    # Forward 784*30 + 30*10, gradients as much, delta through the second layer 30*10.
    assert OPERATIONS == 10_000 * 2 * (23_820 + 23_820 + 300) == 958_800_000
