"""Draw _static/card.png, the picture that messengers show beside a link to the book."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from PIL import Image

CARD = Path(__file__).resolve().parents[1] / "_static" / "card.png"
PAPER, INK, FAINT, FOCUS = "#0b2e44", "#ffffff", "#c3d3de", "#ff8a3d"
TOKENS = ("Once", " upon", " a", " time")


def box(
    axes: matplotlib.axes.Axes, left: float, width: float, color: str, **style: object
) -> None:
    shape = FancyBboxPatch(
        (left, 140), width, 90, boxstyle="round,pad=0,rounding_size=14", **style
    )
    shape.set(facecolor="none" if style else color, edgecolor=color, linewidth=3)
    axes.add_patch(shape)


def draw() -> Figure:
    """The title above a row of tokens, the last of them still to be predicted."""
    figure = Figure(figsize=(12, 6.3), dpi=100, facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 1200), ylim=(0, 630))
    axes.set_axis_off()
    axes.text(
        80,
        450,
        "A Large Language Model\nfrom Scratch",
        color=INK,
        size=48,
        weight="bold",
        va="center",
    )
    axes.text(
        80,
        310,
        "Tokenizer, attention, training, fine-tuning: built page by page",
        color=FAINT,
        size=25,
        va="center",
    )
    left = 80
    for text in TOKENS:
        width = 70 + 26 * len(text)
        box(axes, left, width, FAINT)
        axes.text(
            left + width / 2,
            185,
            text.replace(" ", "␣"),
            color=PAPER,
            size=30,
            ha="center",
            va="center",
        )
        left += width + 22
    box(axes, left, 150, FOCUS, linestyle="--")
    axes.text(left + 75, 185, "?", color=FOCUS, size=32, ha="center", va="center")
    return figure


def main() -> None:
    draw().savefig(CARD)
    Image.open(CARD).convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(
        CARD, optimize=True
    )
    print(f"{CARD}: {CARD.stat().st_size} bytes")


if __name__ == "__main__":
    main()
