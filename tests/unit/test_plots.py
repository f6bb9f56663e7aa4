"""Figures: well-formed, accessible, themable, true. Plots: the book's palette."""

import re
import xml.etree.ElementTree as ET
from fnmatch import fnmatch
from itertools import chain
from math import dist
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.colors import to_hex

from llmbook_utils import web
from llmbook_utils.files.datasets import load_text
from llmbook_utils.plots import FOLDER, PALETTE, bar_plot, figure, line_plot
from llmbook_utils.tokenizer import BytePairTokenizer, get_encoding

ASSETS = FOLDER.parent
FILES = sorted(FOLDER.glob("*.svg"))
NAMES = [path.stem for path in FILES]
SVG = "{http://www.w3.org/2000/svg}"
# page and text of the book's theme, light and dark
THEMES = {"light": ("#ffffff", "#222832"), "dark": ("#14181e", "#ced6dd")}


def texts(name: str) -> list[str]:
    root = ET.fromstring(figure(name).svg)
    return [node.text or "" for node in root.iter(f"{SVG}text")]


def rgb(color: str) -> list[float]:
    return [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def contrast(one: list[float], other: list[float]) -> float:
    """WCAG's contrast ratio of two sRGB colors."""

    def luminance(color):
        parts = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color
        ]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
class TestFile:
    def test_has_a_role_an_alt_text_and_a_caption(self, path):
        root = ET.parse(path).getroot()
        title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
        assert root.tag == f"{SVG}svg" and root.get("role") == "img"
        assert root.get("aria-labelledby") == title.get("id")
        assert root.get("aria-describedby") == desc.get("id")
        assert len(title.text) > 60 and len(desc.text) > 60
        assert title.text != desc.text

    def test_takes_every_color_from_the_page(self, path):
        svg = path.read_text(encoding="utf-8")
        meant = {f"var(--bw-{name},{value})".lower() for name, value in PALETTE.items()}
        paints = re.findall(r"\b(?:fill|stroke|color)(?:=\"|: *)([^;\"]+)", svg)
        assert paints
        assert {p.lower() for p in paints} <= meant | {"currentcolor", "none"}

    def test_text_on_tints_has_contrast(self, path):
        boxes = re.findall(
            r"<rect[^>]*fill:(?:var\([^,]+,(#\w{6})\)|currentColor);fill-opacity:([\d.]+)",
            path.read_text(encoding="utf-8"),
        )
        for page, ink in THEMES.values():
            for color, opacity in boxes:
                mix = zip(rgb(color or ink), rgb(page), strict=True)
                tint = [float(opacity) * a + (1 - float(opacity)) * b for a, b in mix]
                assert contrast(tint, rgb(ink)) >= 4.5

    def test_loads_and_runs_nothing(self, path):
        svg = path.read_text(encoding="utf-8")
        addresses = set(re.findall(r"\w+://[^\"' ]+", svg))
        assert addresses == {"http://www.w3.org/2000/svg"}
        tags = {node.tag.removeprefix(SVG) for node in ET.fromstring(svg).iter()}
        assert tags <= {"svg", "title", "desc", "text", "rect", "path", "circle"}
        assert not re.search(r"\s(on\w+|href|src)=|url\(|@import|@font-face", svg)

    def test_reads_at_720_and_at_360(self, path):
        root = ET.parse(path).getroot()
        width = float(root.get("viewBox").split()[2])
        sizes = [float(node.get("font-size", 16)) for node in root.iter()]
        widest = float(re.search(r"max-width:(\d+)px", root.get("style"))[1])
        assert widest <= 720 and min(sizes) * widest / width >= 12
        assert min(sizes) * 328 / width >= 10  # a phone's column

    def test_is_small(self, path):
        assert path.stat().st_size <= 40_000


def test_figures_can_share_a_page():
    ids = [
        found
        for path in FILES
        for found in re.findall(r'\sid="([^"]+)"', path.read_text())
    ]
    assert len(ids) == len(set(ids)) == 2 * len(FILES)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_shows_as_html_with_its_caption_once(name):
    shown = figure(name)
    page = shown._repr_html_()
    root = ET.fromstring(page)
    svg, caption = list(root)
    assert root.tag == "figure" and root.get("class") == "bw-figure"
    assert svg.tag == f"{SVG}svg" and svg.find(f"{SVG}title") is not None
    assert caption.tag == "figcaption" and svg.get("aria-describedby") == caption.get(
        "id"
    )
    assert page.count(caption.text.split(";")[0][:40]) == 1
    assert repr(shown) == f"figure('{name}')"


@pytest.mark.parametrize("name", ["", "bpe", "../README", "bpe-merges.svg"])
def test_an_unknown_figure_lists_those_that_exist(name):
    with pytest.raises(ValueError, match=r"bpe-merges.*word-vectors") as error:
        figure(name)
    assert repr(name) in str(error.value)


def test_a_file_without_a_caption_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("llmbook_utils.plots.FOLDER", tmp_path)
    (tmp_path / "bare.svg").write_text("<svg/>", encoding="utf-8")
    with pytest.raises(ValueError, match="'bare' has no caption"):
        figure("bare")._repr_html_()


def test_every_asset_has_its_origin_and_license():
    rows = re.findall(
        r"^\| `([^`]+)` \|.*\| (.+) \|$", (ASSETS / "README.md").read_text(), re.M
    )
    patterns = dict(rows)
    for path in ASSETS.rglob("*"):
        if path.is_file() and path != ASSETS / "README.md":
            name = path.relative_to(ASSETS).as_posix()
            assert any(fnmatch(name, pattern) for pattern in patterns), name
    assert all(any(ASSETS.glob(pattern)) for pattern in patterns)


def test_drawn_tokens_and_ids_are_gpt2s():
    encoding = get_encoding("gpt2")
    ids = encoding.encode("The sea is late.")
    drawn = texts("text-to-vectors")
    tokens = [encoding.decode([token]).replace(" ", "␣") for token in ids]
    at = drawn.index(tokens[0])
    assert drawn[at : at + 5] == tokens
    assert [text for text in drawn if text.isdigit()][:5] == [
        str(token) for token in ids
    ]


def test_drawn_windows_are_the_storys():
    sentence = load_text("story").split("\n\n")[1]
    ids = [str(token) for token in get_encoding("gpt2").encode(sentence)[:10]]
    drawn = [text for text in texts("sliding-window") if text.isdigit()]
    windows = [ids[at : at + 4] + ids[at + 1 : at + 5] for at in (0, 4, 0, 2, 4)]
    assert drawn == ids + list(chain.from_iterable(windows))


def test_drawn_merges_are_learned_from_the_drawn_corpus():
    tokenizer = BytePairTokenizer.train("sea seas seal seals real", 256 + 4 + 1)
    learned = [
        token.decode().replace(" ", "␣") for token in list(tokenizer.ranks)[256:260]
    ]
    rules = [text for text in texts("bpe-merges") if "→" in text]
    assert [rule.split(" → ")[1] for rule in rules] == learned
    tokens = [tokenizer.decode([token]) for token in tokenizer.encode(" seals")]
    assert tokens == [" seal", "s"]


def test_drawn_bytes_are_utf8s():
    drawn = texts("utf8-bytes")
    data = "né🙂".encode()
    assert [text for text in drawn if re.fullmatch("[0-9A-F]{2}", text)] == [
        f"{byte:02X}" for byte in data
    ]
    assert [int(text) for text in drawn if re.fullmatch(r"\d{3}", text)] == list(data)


def test_drawn_rows_are_the_cells():
    torch.manual_seed(1)  # section 2.7's seed
    rows = [
        [f"{number:.2f}".replace("-", "\N{MINUS SIGN}") for number in row]
        for row in torch.nn.Embedding(5, 3).weight.tolist()
    ]
    drawn = [
        text for text in texts("embedding-lookup") if re.fullmatch(r"\W?\d\.\d\d", text)
    ]
    # rows in focus are drawn last; then what was looked up; above, and again below
    order = [1, 4, 0, 2, 3, 2, 0, 3]
    assert drawn == 2 * [number for at in order for number in rows[at]]


def test_drawn_bars_are_as_long_as_their_numbers():
    root = ET.fromstring(figure("same-sentence").svg)
    bars = [float(node.get("width")) for node in root.iter(f"{SVG}rect")]
    numbers = [int(text) for text in texts("same-sentence") if text.isdigit()]
    assert bars == [pytest.approx(3.6 * number) for number in numbers]
    page = (
        ASSETS.parents[1] / "chapters" / "02-working-with-text-data.ipynb"
    ).read_text(encoding="utf-8")
    samples = re.findall(r'"(?:English|German|Hindi)\\": \\"(.+?)\\"', page)
    gpt2 = get_encoding("gpt2")
    assert numbers[::3] == [len(gpt2.encode(sample)) for sample in samples]


def test_drawn_sums_hold():
    drawn = [
        text.replace("\N{MINUS SIGN}", "-") for text in texts("token-plus-position")
    ]
    numbers = [float(text) for text in drawn if re.fullmatch(r"-?\d\.\d", text)]
    token, position, total = ([*numbers[at : at + 9]] for at in (0, 9, 18))
    # rows in focus are drawn last, positions are not in focus
    order = [3, 4, 5, 0, 1, 2, 6, 7, 8]
    sums = [t + position[at] for t, at in zip(token, order, strict=True)]
    assert sums == pytest.approx(total)


def test_drawn_attention_is_that_of_chapter_3s_vectors():
    X = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 0.0]])
    X = torch.cat([X, torch.tensor([[0, 1, 0, 1.0]])])
    simple = torch.softmax(X @ X.T, dim=-1)
    drawn = [text for text in texts("attention-table") if "." in text]
    assert drawn == [f"{weight:.3f}" for weight in simple.flatten()]
    W_q = torch.tensor([[0, 1], [1, 0], [2, 0], [0, 0.0]])
    W_k = torch.tensor([[2, 0], [0, 2], [-1, 0], [0, -1.0]])
    scores = (X @ W_q) @ (X @ W_k).T / 2**0.5
    past = torch.ones(5, 5, dtype=torch.bool).tril()
    causal = torch.softmax(scores.masked_fill(~past, -torch.inf), dim=-1)
    drawn = [text for text in texts("causal-weights") if "." in text]
    assert drawn == [f"{weight:.3f}" for weight in causal[past]]


def test_drawn_distances_hold():
    title = ET.fromstring(figure("word-vectors").svg).findtext(f"{SVG}title")
    places = re.findall(r"(\w+) \(([\d.]+), ([\d.]+)\)", title)
    at = {word: (float(alive), float(speed)) for word, alive, speed in places}
    from_tortoise = {word: dist(at["tortoise"], at[word]) for word in at}
    assert sorted(from_tortoise, key=from_tortoise.get)[:2] == ["tortoise", "cow"]
    drawn = {f"{from_tortoise[word]:.2f}" for word in ("cow", "clock")}
    assert drawn <= set(texts("word-vectors"))


def test_training_and_validation_have_their_colors_and_markers():
    series = {"training": [2, 1], "validation": [2, 2]}
    plot = line_plot([1, 2], series, "step", "loss").figure
    axes = plot.axes[0]
    colors = [to_hex(line.get_color()) for line in axes.lines]
    assert colors == [PALETTE["train"], PALETTE["valid"]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "loss")
    assert [text.get_text() for text in axes.get_legend().texts] == [
        "training",
        "validation",
    ]
    assert to_hex(plot.get_facecolor()) == to_hex(axes.get_facecolor()) == "#ffffff"
    assert not plt.get_fignums()  # an open one would show twice in a notebook


def test_no_two_series_look_alike():
    names = ["training", "validation", "a", "b", "c", "d", "e"]
    plot = line_plot([0, 1], {name: [0, 1] for name in names}, "x", "y").figure
    lines = plot.axes[0].lines
    assert len({line.get_color() for line in lines}) == len(
        {line.get_marker() for line in lines}
    )
    assert len({line.get_marker() for line in lines}) == len(names)


def test_a_plot_is_the_same_every_time_and_its_text_is_text():
    def svg() -> str:
        return line_plot([1, 2, 3], {"a": [4, 5, 6]}, "tokens", "bytes")._repr_svg_()

    assert svg() == svg()
    assert ">tokens</text>" in svg() and "<dc:date>" not in svg()


def test_the_text_of_a_plot_can_be_read_on_a_phone():
    svg = bar_plot({"unigram": 2.869, "mini": 1.85}, "bits per byte")._repr_svg_()
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1])
    sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)]
    assert sizes and min(sizes) * 358 / width >= 11.9


@pytest.mark.parametrize(
    "series, says",
    [
        ({}, "0 series .* at least one"),
        ({"loss": [1, 2, 3]}, "'loss' has 3 values for 2 places"),
        ({str(n): [1, 2] for n in range(6)}, "6 series .* at most 5"),
    ],
)
def test_what_cannot_be_plotted_is_refused(series, says):
    with pytest.raises(ValueError, match=says):
        line_plot([1, 2], series, "x", "y")


def test_the_palette_is_okabe_and_itos() -> None:
    assert PALETTE == {
        "query": "#0072b2",
        "key": "#e69f00",
        "value": "#009e73",
        "focus": "#d55e00",
        "train": "#56b4e9",
        "valid": "#cc79a7",
        "masked": "#8a8a8a",
    }


def test_no_other_file_gives_a_color_of_the_palette() -> None:
    sheets = [Path(__file__).parents[2] / "_static" / "book.css"]
    sheets += [path for path in web.FOLDER.rglob("*.css") if path.stem != "palette"]
    assert len(sheets) == 2
    for sheet in sheets:
        assert not re.search(r"--bw-[a-z-]+: *#", sheet.read_text(encoding="utf-8"))


def test_bars_stand_in_order_with_their_numbers():
    (axes,) = bar_plot({"unigram": 2.869, "mini": 1.85}, "bits per byte").figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["unigram", "mini"]
    assert [bar.get_width() for bar in axes.patches] == [2.869, 1.85]
    assert {text.get_text() for text in axes.texts} == {"2.87", "1.85"}
    low, high = axes.get_ylim()
    assert low > high, "the first bar is on top"
    assert axes.get_xlabel() == "bits per byte"


def test_bars_of_one_kind_share_a_color_that_the_legend_names():
    values = {"chance": 8.0, "bigram": 2.1, "mini": 1.9, "unigram": 2.9}
    kinds = {"counts": ["unigram", "bigram"], "trained": ["mini"], "none": ["chance"]}
    figure = bar_plot(values, "bits", kinds).figure
    (axes,), (legend,) = figure.axes, figure.legends
    labels = [text.get_text() for text in legend.texts]
    named = dict(zip(labels, legend.legend_handles, strict=True))
    shown = dict(zip(values, axes.patches, strict=True))
    for kind, members in kinds.items():
        for name in members:
            assert shown[name].get_facecolor() == named[kind].get_facecolor()
    assert len({bar.get_facecolor() for bar in shown.values()}) == len(kinds)
    figure.draw_without_rendering()
    box = legend.get_window_extent()
    assert not any(
        box.overlaps(one.get_window_extent()) for one in (*axes.texts, *axes.patches)
    )
    assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1


@pytest.mark.parametrize(
    "kinds",
    [
        {"counts": ["a"]},
        {"counts": ["a", "b"], "trained": ["b"]},
        {"counts": ["c", "a"]},
    ],
)
def test_each_bar_needs_one_kind(kinds):
    with pytest.raises(ValueError, match="each bar one of them"):
        bar_plot({"a": 1.0, "b": 2.0}, "loss", kinds)


@pytest.mark.parametrize("values", [{}, {"loss": -1.0}])
def test_bars_need_values_from_zero_on(values):
    with pytest.raises(ValueError, match="expected one or more, from 0 on"):
        bar_plot(values, "loss")
