"""The trainings that are timed: this project's ways, and its peers in their forms."""

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from experiments.cli import processor
from experiments.peers.classic import CLASSES, HIDDEN, PIXELS, TRAIN_SIZE

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
ONE, ALL = 1, os.cpu_count() or 1
AUTODIFF, CROSS_ENTROPY = "autodiff", "autodiff, cross-entropy"
# Operations of the classic network's matrix products in an epoch: of every image forward and the
# gradients of weights through both layers, and delta through the second.
OPERATIONS = TRAIN_SIZE * 2 * (2 * PIXELS * HIDDEN + 3 * HIDDEN * CLASSES)


class Contestant(NamedTuple):
    """A module of `experiments.peers` in one of its forms, and the variables of its process."""

    label: str
    library: str
    environment: dict[str, str]
    arguments: dict[str, Any]


class Peer(NamedTuple):
    """A module of `experiments.peers`, the library that it takes, and its forms.

    `fastest`: which form with how many threads, from which batch size on. `variables`: of its
    processes.
    """

    module: str
    library: str
    forms: Sequence[tuple[str, ...]]
    fastest: Mapping[int, tuple[tuple[str, ...], int]]
    variables: Mapping[str, str] = {}

    def contestants(self, batch_size: int, all_forms: bool = False) -> Iterator[Contestant]:
        """The form that is fastest at a batch size; or all, on one thread and on all cores."""
        fastest = self.fastest[max(size for size in self.fastest if size <= batch_size)]
        every = itertools.product(self.forms, sorted({ONE, ALL}))
        for form, threads in every if all_forms else [fastest]:
            label = "; ".join([*form, f"{threads} thread{'s' if threads > 1 else ''}"])
            environment = dict.fromkeys(THREAD_VARIABLES, str(threads)) | dict(self.variables)
            arguments = {"module": self.module, "batch_size": batch_size, "form": form}
            yield Contestant(label, self.library, environment, arguments)


class Trainings(NamedTuple):
    """Trainings of one network: fields of Config by the name of each way of ours; peers by name."""

    section: str
    ours: Mapping[str, dict[str, Any]]
    peers: Mapping[str, Peer]
    epochs: int  # of a turn

    def with_peers(self, names: Sequence[str]) -> "Trainings":
        """The same with those of these peers that this processor can run, as far as it tells."""
        avx512 = "avx512f" in processor.instructions()
        peers = {
            name: peer
            for name, peer in self.peers.items()
            if name in names and (avx512 or not peer.variables)
        }
        kept = {n: f for n, f in self.ours.items() if n != CROSS_ENTROPY or "scikit-learn" in peers}
        return self._replace(ours=kept, peers=peers)


# What images are gathered as, every batch.
FLOAT, BYTES = "float32", "uint8"
OUT_IN, IN_OUT = "out, in", "in, out"
NUMPY = Peer(
    "numpy_training",
    "numpy",
    list(itertools.product((OUT_IN, IN_OUT), (FLOAT, BYTES))),
    {1: ((OUT_IN, FLOAT), ONE), 32: ((IN_OUT, FLOAT), ALL)},
)
EAGER, COMPILED = (
    Peer(
        "torch_training",
        "torch",
        [(update, FLOAT), (update, BYTES)],
        {1: ((update, rows), ONE), 128: ((update, rows), ALL)},
    )
    for update, rows in (("eager", FLOAT), ("compiled", BYTES))
)
CLASSIC = Trainings(
    "epochs",
    {
        AUTODIFF: {},
        "manual": {"gradients": "manual"},
        # What scikit-learn trains, with its learning rate.
        CROSS_ENTROPY: {"loss": "cross_entropy", "learning_rate": 0.3},
    },
    {
        "NumPy": NUMPY,
        # On a processor that it does not know, OpenBLAS takes kernels without AVX-512, half as
        # fast.
        "NumPy (SkylakeX)": NUMPY._replace(
            fastest={1: ((OUT_IN, FLOAT), ONE), 128: ((IN_OUT, BYTES), ALL)},
            variables={"OPENBLAS_CORETYPE": "SkylakeX"},
        ),
        "PyTorch eager": EAGER,
        "torch.compile": COMPILED,
        "scikit-learn": Peer("sklearn_training", "sklearn", [()], {1: ((), ONE), 32: ((), ALL)}),
    },
    epochs=5,
)
CONVOLUTIONAL = {
    "hidden": ("conv24x5/2", "conv48/2", "conv96"),
    "activation": "relu",
    "loss": "cross_entropy",
    "optimizer": "adamw",
    "learning_rate": 0.003,
}
# The network of recipes/cnn.flags with an optimizer that PyTorch has too, and without distortions,
# average, smoothing, decay and schedule.
CNN_BATCH_SIZE = 64
CNN = Trainings(
    "cnn",
    {AUTODIFF: CONVOLUTIONAL, "manual": {**CONVOLUTIONAL, "gradients": "manual"}},
    {
        f"PyTorch {form}": Peer("torch_cnn", "torch", [(form,)], {1: ((form,), ALL)})
        for form in ("contiguous", "channels_last", "compiled")
    },
    epochs=2,
)
PEERS = (*CLASSIC.peers, *CNN.peers)
