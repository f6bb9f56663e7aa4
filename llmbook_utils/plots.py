"""Figures and plots in the book's palette, where one color means one thing.

Not built on a page. A figure is an SVG file in assets/figures: its title is the text
for readers who cannot see it, its desc is the caption. Left out: whatever a reader
operates, which llmbook_utils.widgets draws.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

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


def line_plot(
    x: Sequence[float],
    series: dict[str, list[float]],
    x_label: str,
    y_label: str,
) -> Figure:
    """Plot each named series over x, on a white panel of its own.

    "training" and "validation" look the same in the whole book; up to 5 others get
    the remaining colors, markers and lines in turn. No series, too many, or one that
    is not as long as x raise ValueError.
    """
    _check_series(x, series)
    # pyplot's figures show in notebooks; closed, so that they do not show twice
    plot, axes = plt.subplots(figsize=(7.2, 4.0), facecolor="white", layout="tight")
    plt.close(plot)
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


def bar_plot(values: dict[str, float], x_label: str) -> Figure:
    """Plot named values as horizontal bars, the first on top, each with its number.

    No values and negative ones raise ValueError.
    """
    if not values or min(values.values()) < 0:
        raise ValueError(
            f"the values are {list(values.values())}; expected one or more, from 0 on"
        )
    height = 0.9 + 0.4 * len(values)
    plot, axes = plt.subplots(figsize=(7.2, height), facecolor="white", layout="tight")
    plt.close(plot)  # a notebook would show it a second time
    bars = axes.barh(list(values), list(values.values()), color=PALETTE["query"])
    axes.bar_label(bars, fmt="%.2f", padding=4)
    axes.invert_yaxis()
    axes.set(xlabel=x_label)
    axes.margins(x=0.1)
    axes.spines[["top", "right"]].set_visible(False)
    return plot


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
