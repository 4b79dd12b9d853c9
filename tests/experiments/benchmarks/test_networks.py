"""Who takes part, in which form."""

import os

import pytest

from experiments.benchmarks.networks import CLASSIC, Host, Peer, dense_operations

CORES = sorted({1, os.cpu_count() or 1})
PEER = Peer(
    "module", "library", {"a": {"x": 1}, "b": {"x": 2}}, {1: ("b", 1), 32: ("a", 1)}, (("V", "7"),)
)
ONE_PEER = CLASSIC._replace(ours={"autodiff": {"seed": 3}}, peers={"peer": PEER})


@pytest.mark.parametrize(("batch_size", "form"), [(1, 2), (31, 2), (32, 1), (1000, 1)])
def test_a_peer_comes_in_the_form_that_is_fastest_from_a_batch_size_on(batch_size, form):
    ours, peer = ONE_PEER.contestants(batch_size, all_forms=False)
    assert ours.arguments == {"batch_size": batch_size, "seed": 3}
    assert peer.arguments == {"batch_size": batch_size, "peer": "module", "form": {"x": form}}
    assert peer.host.environment["OMP_NUM_THREADS"] == "1"
    assert peer.host.environment["V"] == "7"
    assert str(peer.host) == "library, 1 thread, V=7"


def test_all_forms_are_tried_on_one_thread_and_on_all_cores():
    _, *peers = ONE_PEER.contestants(32, all_forms=True)
    tried = [(peer.arguments["form"]["x"], peer.host.threads) for peer in peers]
    assert tried == [(form, count) for form in (1, 2) for count in CORES]


def test_every_fastest_form_is_one_of_its_peers():
    for peer in CLASSIC.peers.values():
        assert {form for form, _ in peer.fastest.values()} <= peer.forms.keys()
        assert 1 in peer.fastest


def test_our_processes_choose_their_own_threads():
    assert Host("jax").environment == {}
    assert str(Host("jax", one_core=True)) == "jax, 1 core"


def test_what_scikit_learn_trains_is_measured_beside_it_alone():
    assert "autodiff, cross-entropy" in CLASSIC.with_peers(["scikit-learn"]).ours
    assert list(CLASSIC.with_peers(["NumPy"]).ours) == ["autodiff", "manual"]


def test_operations_of_the_classic_network():
    # Forward 784*30 + 30*10, gradients as much, delta through the second layer 30*10.
    assert dense_operations((784, 30, 10)) == 2 * (23_820 + 23_820 + 300)
    assert CLASSIC.images * CLASSIC.operations == 958_800_000
