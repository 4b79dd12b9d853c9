"""What all figures share: size, sharpness, colours, drawable text, and the way to a file."""

import colorsys
import importlib
import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# At 100 pixels an inch a figure fits beside another one on a screen, and its text can still be read
# where a telephone shows it three quarters as wide.
WIDTH = 4.8  # inches
PIXELS_PER_INCH = 200
SMALL = 9  # points; matplotlib's own 10 elsewhere
NAME_LENGTH = 11

# Okabe and Ito (2008): told apart also by the colour-blind; markers tell them apart in grey.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, ORANGE, BLACK = "#56B4E9", "#E69F00", "#000000"
# Where there are more: of Tol (2018), the muted ones that are far from those.
MUTED = ("#661100", "#999933", "#332288", "#888888", "#882255")
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE, BLACK, *MUTED)
GOLDEN = (5**0.5 - 1) / 2
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def png(figure: "Figure") -> bytes:
    """A figure as a PNG file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PIXELS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


# In SVG, colours that follow the reader's light or dark mode: ink, ground, pale and quiet lines.
THEMED = {
    "#000000": "var(--ink)",
    "#ffffff": "var(--ground)",
    "#e6e6e6": "var(--line)",
    "#4c4c4c": "var(--quiet)",
}
THEME = """<style>
:root { --ink: #1b1b1b; --ground: #fff; --line: #e5e5e5; --quiet: #4c4c4c; fill: var(--ink); }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --ground: #161616; --line: #3a3a3a; --quiet: #b0b0b0; }
}
</style>"""
# Values that span more than this factor are drawn on a logarithmic axis.
LOGARITHMIC = 20
TICKS = 7  # so many values are all labelled


def svg(figure: "Figure") -> bytes:
    """A figure as an SVG file that follows light and dark mode; equal figures give equal bytes."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "digits_jax"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub("|".join(THEMED), lambda found: THEMED[found[0]], text[text.index("<svg") :])
    return text.replace(">", f">{THEME}", 1).encode()


def plot(
    table: Mapping[str, Sequence[Any]],
    x: str,
    y: str,
    hue: str = "",
    band: tuple[str, str] | None = None,
    share: bool = False,
) -> "Figure":
    """Column `y` against column `x`, a line for each value of `hue`, in the order of the table.

    The horizontal axis is logarithmic where the values of `x` are positive and span a wide range.

    Args:
        table: columns of equal length by name; the names label the axes.
        x, y: columns of numbers.
        hue: a column of names for the legend; by default there is one line.
        band: columns of the lower and upper ends of a band around each line.
        share: write the numbers of `y` as percentages.
    """
    names = list(dict.fromkeys(table[hue])) if hue else [""]
    figure = new_figure(3.6 + 0.2 * len(names) * bool(hue))
    axes = figure.add_subplot()
    for index, name in enumerate(names):
        chosen = [row for row in range(len(table[x])) if not hue or table[hue][row] == name]
        chosen.sort(key=lambda row: table[x][row])
        of = {column: [table[column][row] for row in chosen] for column in (x, y, *(band or ()))}
        look = style(index)
        every = max(1, len(chosen) // 8)
        axes.plot(of[x], of[y], label=plain(str(name)), markevery=every, **look)
        if band:
            ends = of[band[0]], of[band[1]]
            axes.fill_between(of[x], *ends, color=look["color"], alpha=0.2, linewidth=0)
    if min(table[x]) > 0 and max(table[x]) > LOGARITHMIC * min(table[x]):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
    if len(ticks := sorted(set(table[x]))) <= TICKS:
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set(xlabel=plain(x), ylabel=plain(y))
    if share:
        axes.yaxis.set_major_formatter(percent)
    grid(axes)
    if hue:
        figure.legend(loc="outside lower left", frameon=False, fontsize=SMALL)
    return figure


def require() -> None:
    """Checks that figures can be made.

    Raises:
        ValueError: in one line, where matplotlib is not installed.
    """
    try:
        importlib.import_module("matplotlib")
    except ImportError:
        raise ValueError("figures need matplotlib: pip install -e '.[figures]'") from None


def new_figure(height: float, width: float = WIDTH) -> "Figure":
    """An empty figure of so many inches, which nothing but its owner knows of.

    Raises:
        ValueError: as `require`.
    """
    require()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def style(index: int) -> dict[str, Any]:
    """Colour and marker of a line: no two lines are of one colour."""
    colour: Any = COLOURS[index] if index < len(COLOURS) else _further_colour(index)
    return {"color": colour, "marker": MARKERS[index % len(MARKERS)], "markersize": 4.5}


def _further_colour(index: int) -> tuple[float, float, float]:
    """Hues by the golden ratio, each far from those before it, in three lightnesses."""
    return colorsys.hls_to_rgb(index * GOLDEN % 1, (0.3, 0.45, 0.65)[index % 3], 0.55)


def signed() -> Any:
    """Colours of signed numbers, as on the page to draw on: blue, white at zero, orange."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = ["#0b3d91", "#5b8fd6", "#ffffff", "#eb9a4d", "#9a4a00"]
    return LinearSegmentedColormap.from_list("signed", colours)


def grid(axes: "Axes", axis: Literal["both", "x", "y"] = "both") -> None:
    """Pale lines behind what is drawn."""
    axes.grid(axis=axis, color="0.9")
    axes.set_axisbelow(True)


def percent(share: float, *_: Any) -> str:
    """A share as an axis writes it: 0.925 as 92.5%."""
    return f"{100 * share:g}%"


def _drawable() -> Any:
    """The characters that the font of all figures can draw."""
    from matplotlib import font_manager, ft2font

    return ft2font.FT2Font(font_manager.findfont("DejaVu Sans")).get_charmap()


def plain(text: str) -> str:
    """Text that the font can draw and that matplotlib does not read as a formula."""
    known = _drawable()
    drawn = "".join(character if ord(character) in known else "?" for character in text)
    return drawn.replace("$", r"\$")


def printable(names: Sequence[str]) -> list[str]:
    """Names by index, short enough for a picture.

    A name that is too long gets its index before it, as others may begin like it; one that the font
    cannot draw becomes its index.
    """
    known = _drawable()

    def short(index: int, name: str) -> str:
        if any(ord(character) not in known for character in name):
            return str(index)
        if len(name) > NAME_LENGTH:
            name = f"{f'{index} {name}'[: NAME_LENGTH - 1]}…"
        return plain(name)

    return [short(index, name) for index, name in enumerate(names)]
