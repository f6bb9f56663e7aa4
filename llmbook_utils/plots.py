"""Figures and plots in the book's palette, where one color means one thing.

Not built on a page. A figure is an SVG file in assets/figures: its title is the text
for readers who cannot see it, its desc is the caption. Left out: whatever a reader
operates, which llmbook_utils.widgets draws.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from io import StringIO
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from llmbook_utils import web

FOLDER = Path(__file__).parent / "assets" / "figures"
MEANING = re.compile(
    r"--bw-(query|key|value|focus|train|valid|masked): (#[0-9a-f]{6});"
)
DESC = re.compile(r"\s*<desc(?P<id> id=\"[^\"]+\")>(?P<caption>.*?)</desc>", re.DOTALL)

# the light ones of the site and the widgets, by what they mean
PALETTE = dict(MEANING.findall(web.read("palette.css").split("}")[0]))
# color, marker and line of the series that the whole book shares, then of any other
SHARED = {
    "training": (PALETTE["train"], "o", "-"),
    "validation": (PALETTE["valid"], "s", "--"),
}
OTHERS = [
    (PALETTE["query"], "^", "-"),
    (PALETTE["focus"], "D", "--"),
    (PALETTE["value"], "v", "-."),
    (PALETTE["key"], "P", ":"),
    (PALETTE["masked"], "X", "-"),
]
# of bars by their kind, from the least to the most interesting one
BARS = [PALETTE[name] for name in ("masked", "key", "query", "focus", "value")]


@dataclass(frozen=True, repr=False)
class BookFigure:
    """A figure of the book; `svg` is the text of its file.

    A notebook shows it as HTML, so that its lines and text take the page's color.
    """

    name: str
    svg: str

    def __repr__(self) -> str:
        return f"figure({self.name!r})"

    def _repr_html_(self) -> str:
        desc = DESC.search(self.svg)
        if desc is None:
            raise ValueError(
                f'figure {self.name!r} has no caption; give its svg a <desc id="…">'
            )
        # the caption takes over the id that the svg's aria-describedby names
        caption = f"<figcaption{desc['id']}>{desc['caption']}</figcaption>"
        svg = self.svg.replace(desc[0], "").strip()
        return f'<figure class="bw-figure">\n{svg}\n{caption}\n</figure>'


def figure(name: str) -> BookFigure:
    """Load a figure by its name; an unknown one raises ValueError.

    >>> figure("bpe-merges")
    figure('bpe-merges')
    """
    names = sorted(path.stem for path in FOLDER.glob("*.svg"))
    if name not in names:
        raise ValueError(f"no figure is called {name!r}; give one of {names}")
    return BookFigure(name, (FOLDER / f"{name}.svg").read_text(encoding="utf-8"))


# text stays text, in a size that can be read on a phone: 12 px where the column has 358
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "llmbook",  # the same names inside the file at each run
    "font.family": "sans-serif",
    "font.size": 12.5,
    "axes.labelsize": 12.5,
    "legend.fontsize": 12.5,
}
WIDTH = 5.1  # inches; the height is the plot's own


P = ParamSpec("P")
T = TypeVar("T")


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Let a function draw in the book's style; matplotlib's settings stay."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        with plt.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


@dataclass(frozen=True, repr=False)
class BookPlot:
    """A plot of the book, which a notebook shows as SVG; `figure` is matplotlib's.

    The site gives its lines and text the page's colors.
    """

    figure: Figure

    def __repr__(self) -> str:
        return f"a plot with {len(self.figure.axes)} panel(s)"

    @property
    def axes(self) -> list[Axes]:
        """The panels, to draw more on them."""
        return self.figure.axes

    def _repr_svg_(self) -> str:
        text = StringIO()
        with plt.rc_context(STYLE):
            # without date and version, so that the same plot is the same file
            nothing = {"Date": None, "Creator": None}
            self.figure.savefig(text, format="svg", metadata=nothing)
        return text.getvalue()


@styled
def panels(
    height: float,
    width: float = WIDTH,
    *,
    rows: int = 1,
    columns: int = 1,
    sharey: bool = False,
) -> tuple[BookPlot, list[Axes]]:
    """An empty plot of `rows` times `columns` panels, and their axes to draw on."""
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width, height),
        facecolor="white",
        layout="tight",
        squeeze=False,
        sharey=sharey,
    )
    # pyplot's figures show in notebooks; closed, so that they do not show twice
    plt.close(figure)
    return BookPlot(figure), list(axes.flat)


@styled
def line_plot(
    x: Sequence[float],
    series: dict[str, list[float]],
    x_label: str,
    y_label: str,
) -> BookPlot:
    """Plot each named series over x.

    "training" and "validation" look the same in the whole book; up to 5 others get
    the remaining colors, markers and lines in turn. No series, too many, or one that
    is not as long as x raise ValueError.
    """
    _check_series(x, series)
    plot, (axes,) = panels(height=3.2)
    others = iter(OTHERS)
    for name, values in series.items():
        color, marker, line = SHARED[name] if name in SHARED else next(others)
        axes.plot(x, values, color=color, marker=marker, linestyle=line, label=name)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if len(series) > 1:
        axes.legend(frameon=False)
    return plot


@styled
def bar_plot(
    values: dict[str, float],
    x_label: str,
    kinds: dict[str, Sequence[str]] | None = None,
) -> BookPlot:
    """Plot named values as horizontal bars, the first on top, each with its number.

    `kinds` gives the bars' names by what they are, and each kind a color of its own.
    No values, negative ones and a bar without exactly one kind raise ValueError.
    """
    if not values or min(values.values()) < 0:
        raise ValueError(
            f"the values are {list(values.values())}; expected one or more, from 0 on"
        )
    colors = _colors_of(list(values), kinds) if kinds else PALETTE["query"]
    plot, (axes,) = panels(height=0.9 + 0.36 * (len(values) + bool(kinds)))
    bars = axes.barh(list(values), list(values.values()), color=colors)
    axes.bar_label(bars, fmt="%.2f", padding=4)
    axes.invert_yaxis()
    axes.set_xlabel(x_label, loc="right")  # may be longer than the axis
    axes.margins(x=0.15)  # room for the numbers
    axes.spines[["top", "right"]].set_visible(False)
    if kinds:
        patches = [
            Patch(color=c, label=kind) for kind, c in zip(kinds, BARS, strict=False)
        ]
        # a row above the plot: inside, it would lie on the numbers of long bars
        plot.figure.set_layout_engine("constrained")  # leaves room for a legend outside
        plot.figure.legend(
            handles=patches,
            frameon=False,
            loc="outside upper left",
            ncols=len(patches),
            handlelength=1,
            columnspacing=1,
        )
    return plot


def _colors_of(names: list[str], kinds: dict[str, Sequence[str]]) -> list[str]:
    """The color of each bar, by its kind."""
    listed = sorted(name for members in kinds.values() for name in members)
    if listed != sorted(names) or len(kinds) > len(BARS):
        raise ValueError(
            f"{len(kinds)} kinds name the bars {listed}, but the bars are "
            f"{sorted(names)}; give at most {len(BARS)} kinds, and each bar one of them"
        )
    color = {
        name: c
        for members, c in zip(kinds.values(), BARS, strict=False)
        for name in members
    }
    return [color[name] for name in names]


def _check_series(x: Sequence[float], series: dict[str, list[float]]) -> None:
    others = [name for name in series if name not in SHARED]
    if not series or len(others) > len(OTHERS):
        raise ValueError(
            f"{len(others)} series besides {list(SHARED)} were given, but a plot shows "
            f"at least one series and at most {len(OTHERS)} such; draw several plots"
        )
    for name, values in series.items():
        if len(values) != len(x):
            raise ValueError(
                f"series {name!r} has {len(values)} values for {len(x)} places on x; "
                "give one value for each"
            )
