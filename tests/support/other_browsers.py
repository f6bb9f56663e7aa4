"""What each page must do in every browser: scripts that run in the page, and what they find."""

from typing import Protocol

import build_site

PAGES = [f"{page}.html" for page in build_site.pages()]

# opens all that is folded, brings each widget near, and says which did not come to stand
MOUNT = """async () => {
    document.querySelectorAll("article details").forEach((part) => (part.open = true));
    const settled = (mount) => mount.dataset.bwReady || mount.dataset.bwError;
    const failed = [];
    for (const mount of document.querySelectorAll(".bw-mount")) {
        for (let i = 0; i < 600 && !settled(mount); i += 1) {
            if (i % 20 === 0) mount.scrollIntoView();
            await new Promise((resolve) => setTimeout(resolve, 50));
        }
        if (mount.dataset.bwReady !== "1") failed.push(`${mount.dataset.bwModule}: ${mount.dataset.bwError ?? "not mounted"}`);
    }
    await window.MathJax?.startup?.promise;
    const wide = document.documentElement.scrollWidth - innerWidth;
    return [failed, wide, document.querySelectorAll("mjx-merror").length];
}"""
# the first experiment: the model is loaded and answers
REPLY = """async (module) => {
    const widget = document.querySelector(`[data-bw-module="${module}"]`);
    const press = (name) => [...widget.querySelectorAll("button")].find((one) => one.textContent.startsWith(name)).click();
    const until = async (test) => {
        for (let i = 0; i < 600 && !test(); i += 1) await new Promise((resolve) => setTimeout(resolve, 50));
    };
    press("Experiments");
    press("Set it up for me");
    const look = () => [...widget.querySelectorAll(".bw-guide p")].find((one) => one.textContent.startsWith("Look."));
    await until(() => look() && !look().hidden);
    press("Explain");
    return widget.querySelector(".bw-guide [role=status] p:last-child").textContent;
}"""
# pages with a live widget, and a word of what it must say
LIVE = {
    "intro": ("continuation", "With seed 7"),
    "chapters/02-working-with-text-data": ("embedding-map", "queen"),
    "chapters/03-coding-attention-mechanisms": ("attention-explorer", "0.49"),
    "chapters/04-implementing-a-gpt-model-from-scratch-to-generate-text": (
        "model-map",
        "time",
    ),
    "chapters/05b-decoding-strategies": ("sampling-lab", "king"),
}


class Browser(Protocol):
    """What Firefox and WebKit can do alike."""

    def goto(self, url: str) -> None: ...

    def run(self, function: str, *values: object) -> object: ...


def assert_stands(browser: Browser, site_url: str, name: str) -> None:
    """A page's widgets stand, its formulas are set, and its model replies."""
    browser.goto(site_url + name)
    failed, wide, faults = browser.run(MOUNT)
    assert failed == []
    assert wide <= 0
    assert faults == 0
    if live := LIVE.get(name.removesuffix(".html")):
        module, word = live
        assert word in browser.run(REPLY, module)
