"""What estimates of the gradient came to: in lines, as a record, and as two figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from digits_jax.reports import drawing
from experiments.cli.records import accuracy, duration, table
from experiments.comparison.estimators import Found
from experiments.comparison.figures import in_few_colours

# Whether the mean over what is random is the gradient, and what was reported on MNIST.
KNOWN = {
    "autodiff": ("it is the gradient", ""),
    "feedback_alignment": ("no", "2.1 % errors, back-propagation 2.4 % (Lillicrap et al., 2016)"),
    "direct_feedback_alignment": ("no", "1.45 % errors, with dropout (Nokland, 2016)"),
    "forward_gradient": ("yes", "up to twice as fast in some cases (Baydin et al., 2022)"),
    "evolution": (
        "of a smoothed loss",
        "99 % accuracy (Zhang, Clune and Stanley, On the relationship between the OpenAI evolution "
        "strategy and stochastic gradient descent, 2017)",
    ),
}


def angles(each: Found) -> tuple[Any, Any]:
    """Looks that are near each other on a logarithmic axis as one point."""
    ends = np.unique(np.geomspace(1, len(each.steps), 16).round().astype(int))[:-1]
    steps = [np.sqrt(part[0] * part[-1]) for part in np.split(each.steps + 1.0, ends)]
    return steps, [part.ravel() for part in np.split(each.angles, ends, axis=1)]


def accuracies(each: Found) -> tuple[Any, Any]:
    return np.arange(1, each.validation.shape[1] + 1), 100 * each.validation.T


# What each is of, and what its axes say.
FIGURES = {
    "angle": (angles, "training step", "angle to the gradient, degrees"),
    "validation": (accuracies, "epoch", "validation accuracy, %"),
}


def figures(each: Found) -> list[str]:
    """Test accuracy, the angle at first and that in the last epoch, as text."""
    looks = each.angles.shape[1] // each.validation.shape[1]
    angles = each.angles[:, 0], each.angles[:, -looks:]
    return [
        accuracy(np.mean(each.test), np.std(each.test, ddof=1)),
        *(f"{np.mean(angle):.1f} ± {np.std(angle, ddof=1):.1f}°" for angle in angles),
    ]


def answer(found: Sequence[Found]) -> list[str]:
    """A line for each method: test accuracy and the angle in the last epoch, by network."""
    networks = dict.fromkeys(each.network for each in found)
    lines = [f"{'networks':<27}{'; '.join(networks)}; n={len(found[0].test)}"]
    for name in dict.fromkeys(each.method for each in found):
        cells = [" at ".join(figures(each)[::2]) for each in found if each.method == name]
        lines.append(f"{name:<27}{'; '.join(cells)}")
    return lines


def markdown(found: Sequence[Found], provenance: str, pictures: Mapping[str, str]) -> str:
    """A title, the provenance, tables of what was found and is known, and the figures, files."""
    header = ["network", "method", "learning rate", "test accuracy", "angle at first"]
    header += ["in the last epoch", "time a step", "FLOPs", "temporary bytes"]
    lines = []
    for each in found:
        price = duration(each.seconds), f"{each.flops:,.0f}", f"{each.temporary_bytes:,}"
        lines.append([each.network, each.method, each.learning_rate, *figures(each), *price])
    parts = [
        "# Other ways to a gradient",
        provenance,
        f"Mean ± standard deviation over n={len(found[0].test)} seeds; of angles, over the batches "
        "that were looked at too. Each method has the learning rate that was best for it on "
        "validation images: of half powers of ten, those on both sides were worse. The angle is "
        "between estimate and gradient of the same batch, of all layers but the last, whose own is "
        "exact with feedback. Of a loop over directions XLA counts the FLOPs of one.",
        table(header, lines),
        table(["method", "unbiased", "reported on MNIST"], [[k, *v] for k, v in KNOWN.items()]),
        *(f"![{name}]({file})" for name, file in pictures.items()),
    ]
    return "\n\n".join(parts) + "\n"


def draw(found: Sequence[Found]) -> dict[str, bytes]:
    """The figures, as PNG: a panel for each network, bands of a standard deviation."""
    networks = list(dict.fromkeys(each.network for each in found))
    methods = list(dict.fromkeys(each.method for each in found))
    pictures = {}
    for name, (points, x, y) in FIGURES.items():
        figure: Any = drawing.new_figure(3.8, width=1 + 2.8 * len(networks))
        figure.subplots(1, len(networks), sharey=True)
        for each in found:
            axes, style = figure.axes[networks.index(each.network)], methods.index(each.method)
            look = drawing.style(style) | {"markersize": 8 - style}  # seen around what lies upon it
            places, values = points(each)
            mean, deviation = (np.array([f(v) for v in values]) for f in (np.mean, np.std))
            axes.plot(places, mean, label=each.method.replace("_", " "), **look)
            axes.fill_between(
                places, mean - deviation, mean + deviation, color=look["color"], alpha=0.2
            )
            axes.set_title(each.network, fontsize=drawing.SMALL)
            axes.set_xlabel(x)
            drawing.grid(axes)
            if name == "angle":
                axes.set(xscale="log", ylim=(-3, 105), yticks=range(0, 91, 15))
        figure.axes[0].set_ylabel(y)
        handles = figure.axes[0].get_legend_handles_labels()
        columns = 1 + len(networks[:2])
        figure.legend(*handles, loc="outside lower center", ncols=columns, fontsize=drawing.SMALL)
        pictures[name] = in_few_colours(drawing.png(figure))
    return pictures
