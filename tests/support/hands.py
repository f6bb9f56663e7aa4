"""A hand on each widget of the site: what it does with the first control, by mouse, keyboard and touch, and what must follow.

The same table and the same steps for every browser that has `Hands`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from playwright.sync_api import Page

WAYS = ("mouse", "keyboard", "touch")
SIZES = {"wide": (1280, 720), "narrow": (390, 844)}
CONTROL = "[data-bw-control]"
MOST_TABS = 60  # until a control of a widget has the focus


class Hands(Protocol):
    """What a reader's hands can do with a browser."""

    def goto(self, url: str) -> None: ...

    def size(self, width: int, height: int) -> None: ...

    def run(self, function: str, *values: Any) -> Any:
        """What an asynchronous function of the page gives for values."""

    def point(self, way: str, *places: list[float]) -> None:
        """Press at the first place, go on to the others, and let go, with a "mouse" or by "touch"."""

    def press(self, keys: str) -> None:
        """Press a key by its name, or several at once: "Control+a"."""

    def write(self, text: str) -> None:
        """Type a text with the keyboard."""


class Chromium:
    """The hands of a reader with a mouse, a touch screen and a keyboard."""

    def __init__(self, page: "Page"):
        self.page = page
        self.session = page.context.new_cdp_session(page)

    def goto(self, url: str) -> None:
        self.page.goto(url)

    def size(self, width: int, height: int) -> None:
        self.page.set_viewport_size({"width": width, "height": height})

    def run(self, function: str, *values: Any) -> Any:
        return self.page.evaluate(f"values => ({function})(...values)", list(values))

    def point(self, way: str, *places: list[float]) -> None:
        if way == "touch":
            return self._touch(*places)
        mouse = self.page.mouse
        mouse.move(*places[0])
        mouse.down()
        for place in places[1:]:
            mouse.move(*place)
        mouse.up()

    def _touch(self, *places: list[float]) -> None:
        for i, (x, y) in enumerate(places):
            self._send("touchMove" if i else "touchStart", {"x": x, "y": y})
        self._send("touchEnd")

    def _send(self, type: str, *points: dict[str, float]) -> None:
        touch = {"type": type, "touchPoints": list(points)}
        self.session.send("Input.dispatchTouchEvent", touch)

    def press(self, keys: str) -> None:
        self.page.keyboard.press(keys)

    def write(self, text: str) -> None:
        self.page.keyboard.type(text)


# the functions that follow run in the page; FIND gives a widget's mount, and `bar` where the bar ends that stays in the window
FIND = """const mount = document.querySelector(`.bw-mount[data-bw-module="${module}"]`);
    const bar = () => document.querySelector(".bd-header-article").getBoundingClientRect().bottom;
    const settled = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const until = async (test, seconds = 30) => {
        for (let i = 0; i < 40 * seconds && !test(); i += 1) await new Promise((done) => setTimeout(done, 25));
        return test();
    };"""
HERE = "async () => location.href"
# opens what is folded around the widget and waits until it works, with its model where it asks one
OPEN = f"""async (module, live) => {{
    {FIND}
    for (let at = mount; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    // again and again, since what is above may still arrive and push it away
    const stands = () => mount.scrollIntoView({{ behavior: "instant" }}) || mount.dataset.bwReady === "1";
    if (!(await until(stands))) return `not mounted: ${{mount.dataset.bwError}}`;
    if (!live) return "";
    const model = mount.querySelector(".bw-model");
    const there = () => model.textContent.includes("runs in this page");
    const load = () => [...model.querySelectorAll("button")].find((one) => /^(Load|Use) the model/.test(one.textContent));
    await until(() => there() || load() || model.querySelector("progress"));
    load()?.click();
    return (await until(there)) ? "" : model.textContent;
}}"""
# brings the first control and what it changes into the window, below the bar, and says what lies outside
TOGETHER = f"""async (module) => {{
    {FIND}
    const boxes = () => ["control", "picture"].map((name) => mount.querySelector(`[data-bw-${{name}}]`).getBoundingClientRect());
    const off = () => {{
        const [top, bottom] = [Math.min(...boxes().map((box) => box.top)), Math.max(...boxes().map((box) => box.bottom))];
        return Math.round((top + bottom - innerHeight - bar()) / 2);
    }};
    // what is above may still arrive and move it; at an end of the page it stays where it is
    for (let isStuck = false; !isStuck; ) {{
        const [by, from] = [off(), scrollY];
        scrollBy({{ top: by, behavior: "instant" }});
        isStuck = by !== 0 && scrollY === from;
        await settled();
        if (!off()) break;
    }}
    const isOut = (box) => box.width * box.height === 0 || box.top < bar() - 1 || box.bottom > innerHeight + 1 || box.left < -1 || box.right > innerWidth + 1;
    return boxes().filter(isOut).map((box) => [box.left, box.top, box.right, box.bottom, bar()].map(Math.round));
}}"""
# places at shares of an element's width, in sight and with nothing above them
PLACES = f"""async (module, at, shares) => {{
    {FIND}
    const element = mount.querySelector(at);
    const box = () => element.getBoundingClientRect();
    const places = () => shares.map((share) => [box().left + 4 + share * (box().width - 8), box().top + box().height / 2]);
    if (box().top < bar() || box().bottom > innerHeight) element.scrollIntoView({{ block: "center", behavior: "instant" }});
    const above = () => places().map((place) => document.elementFromPoint(...place)).filter((other) => !element.contains(other));
    await until(() => !above().length, 3); // a side bar may still go out
    if (above().length) throw new Error(`${{at}} is covered by ${{above()[0]?.outerHTML.slice(0, 100)}}`);
    return places().map((place) => place.map(Math.round));
}}"""
# the focus is where the widget begins, as a reader has it who came there by Tab
BEGIN = f"""async (module) => {{
    {FIND}
    mount.tabIndex = -1;
    mount.focus({{ preventScroll: true }});
}}"""
FOCUSED = f"""async (module, at) => {{
    {FIND}
    return document.activeElement === mount.querySelector(at);
}}"""
# all that can be seen of what the control changes
STATE = f"""async (module) => {{
    {FIND}
    const picture = mount.querySelector("[data-bw-picture]");
    return picture.outerHTML + [...picture.querySelectorAll("input")].map((one) => one.value + one.checked);
}}"""
# waits until it is another and the widget says some words; gives what it says else
CHANGED = f"""async (module, before, words) => {{
    {FIND}
    const state = {STATE};
    let now = before;
    const fine = () => now !== before && mount.innerText.includes(words) && !mount.querySelector("[aria-busy=true]");
    for (let i = 0; i < 300 && !fine(); i += 1) {{
        await new Promise((done) => setTimeout(done, 25));
        now = await state(module);
    }}
    return [now !== before, mount.innerText.includes(words) ? words : mount.innerText];
}}"""


class Hand:
    """One way to operate the controls of a widget, named by selectors within it."""

    def __init__(self, hands: Hands, module: str, way: str):
        self.hands, self.module, self.way = hands, module, way

    def _reach(self, at: str, *shares: float) -> None:
        """Point at shares of an element's width, or come to it by Tab."""
        if self.way != "keyboard":
            places = self._run(PLACES, at, shares or (0.5,))
            return self.hands.point(self.way, *places)
        self._run(BEGIN)
        for _ in range(MOST_TABS):
            self.hands.press("Tab")
            if self._run(FOCUSED, at):
                return
        raise AssertionError(f"{self.module}: Tab does not lead to {at}")

    def _run(self, function: str, *values: Any) -> Any:
        return self.hands.run(function, self.module, *values)

    def press(self, at: str, key: str = "Enter") -> None:
        """Press a button, or choose an option with the key."""
        self._reach(at)
        if self.way == "keyboard":
            self.hands.press(key)

    def choose(self, at: str, chosen: str, key: str) -> None:
        """Point at one of a group, or go on with a key from the one that Tab leads to."""
        if self.way == "keyboard":
            return self.press(chosen, key)
        self.press(at)

    def slide(self, at: str, share: float, key: str) -> None:
        """Drag along a slider to a share of its width, or press a key on it."""
        self._reach(at, 0.5, 0.4 + share / 4, share)
        if self.way == "keyboard":
            self.hands.press(key)

    def write(self, at: str, text: str) -> None:
        """Replace the text of a field."""
        self._reach(at)
        self.hands.press("Control+a")
        self.hands.write(text)


@dataclass(frozen=True)
class Widget:
    """A page of a widget, what a hand does with its first control, and what the widget then says.

    `turns`: for each of the ways what is given to `act`, and words that the widget has afterwards; each turn leads to
    another state than the one before it, and the first to another than the last.
    """

    page: str
    act: Callable[[Hand, Any], None]
    turns: tuple[tuple[Any, str], ...]
    live: bool = False  # the model is asked, and has to be there


def write(hand: Hand, text: str) -> None:
    hand.write(CONTROL, text)


def slide(hand: Hand, to: tuple[float, str]) -> None:
    hand.slide(f"{CONTROL}[type=range], {CONTROL} [type=range]", *to)


def choose(hand: Hand, to: tuple[str, str]) -> None:
    hand.choose(*to, "ArrowRight")


def press(hand: Hand, _: None) -> None:
    hand.press(CONTROL)


def ask(hand: Hand, text: str) -> None:
    hand.write("textarea[rows='1']", text)
    hand.press(CONTROL)


def answer(hand: Hand, text: str) -> None:
    hand.write(CONTROL, text)
    hand.press("[type=submit]")


def slides(least: str, next_one: str, most: str) -> tuple[tuple[Any, str], ...]:
    """A slider's turns: to its left end, a step to the right, to its right end."""
    return ((0, "Home"), least), ((0, "ArrowRight"), next_one), ((1, "End"), most)


def options(
    one: str, chosen: str, *turns: tuple[int, str]
) -> tuple[tuple[Any, str], ...]:
    """The turns of a group: `one` has a number's place; the keyboard goes on from the `chosen` one."""
    return tuple(((one.format(n), chosen), words) for n, words in turns)


ONE, TWO = (
    "chapters/01-understanding-large-language-models",
    "chapters/02-working-with-text-data",
)
SEVEN = "chapters/07-fine-tuning-to-follow-instructions"
WIDGETS = {
    "continuation": Widget("intro", press, ((None, "drawn with seed"),) * 3),
    "ngram-writer": Widget(
        ONE,
        write,
        (
            ("said Mrs.", "␣Dunnage"),
            ("The tortoise", "␣tortoise"),
            ("in the harbour", "␣harbour"),
        ),
    ),
    "quick-question": Widget(
        ONE,
        choose,
        options(
            ".bw-option:nth-of-type({}) input",
            "input:checked",
            (1, "Not this one"),
            (2, "Right"),
            (3, "Not this one"),
        ),
    ),
    "by-hand": Widget(
        ONE,
        answer,
        tuple((word, f"“{word}” is not a number") for word in ("ten", "two", "six")),
    ),
    "embedding-map": Widget(
        TWO,
        choose,
        options(
            ".bw-chip:nth-child({})",
            "[aria-selected=true]",
            (2, "Nearest to “queen”"),
            (3, "Nearest to “prince”"),
            (4, "Nearest to “princess”"),
        ),
        live=True,
    ),
    "sliding-window": Widget(
        TWO, slide, slides("share 3 inputs", "share 2 inputs", "1\nwindow")
    ),
    "tokenizer-explorer": Widget(
        TWO,
        write,
        (("Hello,  world", "␣world"), ("strawberry", "berry"), ("low lower", "␣lower")),
    ),
    "attention-explorer": Widget(
        "chapters/03-coding-attention-mechanisms",
        choose,
        (
            (('[aria-label="block 3, head 3"]', ""), "Block 3, head 3"),
            (("", "[aria-checked=true]"), "Block 3, head 4"),
            (('[aria-label="block 0, head 7"]', ""), "Block 0, head 7"),
        ),
    ),
    "model-map": Widget(
        "chapters/04-implementing-a-gpt-model-from-scratch-to-generate-text",
        write,
        (
            ("The old king had", "␣king"),
            ("A girl and her dog", "␣dog"),
            ("We were at sea", "␣were"),
        ),
        live=True,
    ),
    "time-machine": Widget(
        "chapters/05-pretraining-on-unlabeled-data",
        slide,
        slides("step 0 of 5,000", "step 20 of 5,000", "step 5,000 of 5,000"),
    ),
    "sampling-lab": Widget(
        "chapters/05b-decoding-strategies",
        slide,
        slides("At temperature 0 ", "At temperature 0.05 ", "At temperature 5 "),
    ),
    "spam-classifier": Widget(
        "chapters/06-fine-tuning-for-classification",
        write,
        (
            ("Shall we meet at seven?", "Not spam:"),
            ("You won a prize. Call 09061234567 now!", "Spam:"),
            ("See you at home", "Not spam:"),
        ),
        live=True,
    ),
    "ask-mini": Widget(
        SEVEN,
        ask,
        tuple(
            (f"The {name} was loud.", "It ended its answer itself")
            for name in ("wolf", "horse", "cat")
        ),
    ),
    "loss-mask": Widget(
        SEVEN,
        choose,
        options(
            ".bw-segment:nth-of-type({})",
            "input:checked",
            (1, "4 × 122"),
            (2, "4 × 71"),
            (3, "4 × 61"),
        ),
    ),
    "schedule-designer": Widget(
        "appendices/d-training-loop",
        slide,
        slides("steps to 0.00001 and", "steps to 0.000011 and", "steps to 1 and"),
    ),
    "rank-explorer": Widget(
        "appendices/e-lora", slide, slides("At rank 0,", "At rank 1,", "At rank 256,")
    ),
}


# pages in their order, each at one size after the other: a page is opened once, and seldom drawn anew
TURNS = [
    (name, size)
    for page in dict.fromkeys(widget.page for widget in WIDGETS.values())
    for size in SIZES
    for name, widget in WIDGETS.items()
    if widget.page == page
]


def operate(hands: Hands, site_url: str, name: str, size: str) -> None:
    """Operate a widget's first control in all ways.

    Each time what it changes is changed, and both are in one window before and afterwards. The page may be open
    already, with the widget in any state.
    """
    widget = WIDGETS[name]
    hands.size(*SIZES[size])
    url = f"{site_url}{widget.page}.html"
    if hands.run(HERE) != url:
        hands.goto(url)
    assert not (why := hands.run(OPEN, name, widget.live)), why
    for way, (given, words) in zip(WAYS, widget.turns, strict=True):
        assert not (out := hands.run(TOGETHER, name)), f"before {way}: {out}"
        before = hands.run(STATE, name)
        widget.act(Hand(hands, name, way), given)
        found = hands.run(CHANGED, name, before, words)
        assert found == [True, words], f"{way}: {found}"
    assert not (out := hands.run(TOGETHER, name)), f"at the end: {out}"
