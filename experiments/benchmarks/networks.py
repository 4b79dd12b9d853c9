"""The networks that are trained for the clock: this project's ways, and its peers'.

A network is an argument of the sections that measure it: another one is an entry beside `CLASSIC`.
"""

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.cli import processor
from experiments.peers.classic import CLASSES, HIDDEN, PIXELS, TRAIN_SIZE

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
ONE, ALL = 1, os.cpu_count() or 1


class Host(NamedTuple):
    """A process for one library, with so many threads (`None`: its own choice) and variables."""

    library: str
    threads: int | None = None
    variables: tuple[tuple[str, str], ...] = ()
    one_core: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """Its environment variables, besides those of the process that starts it."""
        threads = dict.fromkeys(THREAD_VARIABLES, str(self.threads)) if self.threads else {}
        return threads | dict(self.variables)

    def __str__(self) -> str:
        cores = "1 core" if self.one_core else threads(self.threads) if self.threads else ""
        variables = [f"{name}={value}" for name, value in self.variables]
        return ", ".join(filter(None, [self.library, cores, *variables]))


JAX, JAX_ONE_CORE = Host("jax"), Host("jax", one_core=True)


class Peer(NamedTuple):
    """A module of `experiments.peers`, the library that it takes, and its forms by name.

    `fastest` says which form, with how many threads, from which batch size on; `variables` are
    those of its processes.
    """

    module: str
    library: str
    forms: dict[str, dict[str, Any]]
    fastest: dict[int, tuple[str, int]]
    variables: tuple[tuple[str, str], ...] = ()


class Contestant(NamedTuple):
    """What is timed: a function of `competitors` with its arguments, in a host."""

    name: str
    form: str
    host: Host
    function: str
    arguments: dict[str, Any]


class Network(NamedTuple):
    """What is trained: fields of Config by the name of each way of ours, and peers by name.

    `section` names its measurements; `images` are those of an epoch, `operations` those of the
    matrix products that an image takes.
    """

    section: str
    description: str
    images: int
    operations: int
    ours: dict[str, dict[str, Any]]
    peers: dict[str, Peer]

    def with_peers(self, names: Sequence[str]) -> "Network":
        """The same with those of these peers that this processor can run, as far as it tells."""
        avx512 = "avx512f" in processor.instructions()
        peers = {
            name: peer
            for name, peer in self.peers.items()
            if name in names and (avx512 or not peer.variables)
        }
        ours = dict(self.ours)
        if "scikit-learn" not in peers:
            ours.pop(CROSS_ENTROPY, None)
        return self._replace(ours=ours, peers=peers)

    def contestants(self, batch_size: int, all_forms: bool) -> list[Contestant]:
        """Ours, then each peer in its fastest form, or in all, on one thread and on all cores."""
        found = [
            Contestant(name, "", JAX, ".project.epoch", {"batch_size": batch_size, **fields})
            for name, fields in self.ours.items()
        ]
        for name, peer in self.peers.items():
            fastest = peer.fastest[max(size for size in peer.fastest if size <= batch_size)]
            every = list(itertools.product(peer.forms, sorted({ONE, ALL})))
            for form, count in every if all_forms else [fastest]:
                host = Host(peer.library, count, peer.variables)
                arguments = {"peer": peer.module, "form": peer.forms[form]}
                label, sized = f"{form}, {threads(count)}", {"batch_size": batch_size, **arguments}
                found.append(Contestant(name, label, host, ".peers.epoch", sized))
        return found


def threads(count: int) -> str:
    """As in: 1 thread, 2 threads."""
    return f"{count} thread{'s' if count > 1 else ''}"


def dense_operations(sizes: Sequence[int]) -> int:
    """Additions and multiplications of an image's matrix products in a training step.

    Forward, and the gradient of the weights: one each for every layer; delta propagated back: one
    for every layer but the first.
    """
    weights = [inputs * outputs for inputs, outputs in itertools.pairwise(sizes)]
    return 2 * (2 * sum(weights) + sum(weights[1:]))


def _forms(ways: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each way with rows that are gathered as float32, and as uint8."""
    return {
        f"{way}{rows} rows": {**fields, "rows": rows}
        for way, fields in ways.items()
        for rows in ("float32", "uint8")
    }


# What scikit-learn trains, with its learning rate.
CROSS_ENTROPY = "autodiff, cross-entropy"
NUMPY = Peer(
    "numpy_training",
    "numpy",
    _forms({f"weights [{layout}], ": {"layout": layout} for layout in ("out, in", "in, out")}),
    {1: ("weights [out, in], float32 rows", ONE), 32: ("weights [in, out], float32 rows", ALL)},
)
# On a processor that it does not know, OpenBLAS takes kernels without AVX-512, half as fast.
SKYLAKE = NUMPY._replace(
    fastest={
        1: ("weights [out, in], float32 rows", ONE),
        128: ("weights [in, out], uint8 rows", ALL),
    },
    variables=(("OPENBLAS_CORETYPE", "SkylakeX"),),
)
EAGER = Peer(
    "torch_training",
    "torch",
    _forms({f"{update}, ": {"update": update} for update in ("_foreach_add_", "torch.optim.SGD")}),
    {1: ("_foreach_add_, float32 rows", ONE), 128: ("_foreach_add_, float32 rows", ALL)},
)
COMPILED = EAGER._replace(
    forms=_forms(
        {
            "": {"update": "compiled"},
            "cpp_wrapper, ": {"update": "compiled", "options": {"cpp_wrapper": True}},
        }
    ),
    fastest={1: ("cpp_wrapper, uint8 rows", ONE), 128: ("cpp_wrapper, uint8 rows", ALL)},
)
SKLEARN = Peer(
    "sklearn_training",
    "sklearn",
    {"float32 rows": {}},
    {1: ("float32 rows", ONE), 32: ("float32 rows", ALL)},
)
CLASSIC = Network(
    section="epochs",
    description="784-30-10, sigmoid, quadratic cost, SGD 3.0, 10,000 images",
    images=TRAIN_SIZE,
    operations=dense_operations((PIXELS, HIDDEN, CLASSES)),
    ours={
        "autodiff": {},
        "manual": {"gradients": "manual"},
        CROSS_ENTROPY: {"loss": "cross_entropy", "learning_rate": 0.3},
    },
    peers={
        "NumPy": NUMPY,
        "NumPy (SkylakeX)": SKYLAKE,
        "PyTorch eager": EAGER,
        "torch.compile": COMPILED,
        "scikit-learn": SKLEARN,
    },
)
