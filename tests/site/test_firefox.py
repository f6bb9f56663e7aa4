"""The pages in Firefox: every widget stands, the model runs and replies, and nothing is said in the console."""

import os
from collections.abc import Iterator

import build_site
import pytest
from firefox import NO_FIREFOX, Firefox, find_firefox, started

pytestmark = pytest.mark.site

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


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    """One headless Firefox for all pages; skips where there is none, fails where CI=true."""
    path = find_firefox()
    if path is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(NO_FIREFOX)
    with started(path, tmp_path_factory.mktemp("firefox")) as browser:
        yield browser


@pytest.mark.parametrize("name", PAGES)
def test_a_page_stands_and_its_model_replies(
    firefox: Firefox, site_url: str, name: str
) -> None:
    firefox.log.clear()
    firefox.requests.clear()
    firefox.size(390, 844) if PAGES.index(name) % 2 else firefox.size(1280, 720)
    firefox.goto(site_url + name)
    failed, wide, faults = firefox.run(MOUNT)
    assert failed == []
    assert wide <= 0
    assert faults == 0
    if live := LIVE.get(name.removesuffix(".html")):
        module, word = live
        assert word in firefox.run(REPLY, module)
    assert firefox.log == []
    assert {url for url in firefox.requests if not url.startswith(site_url)} <= {
        url for url in firefox.requests if url.startswith(("data:", "blob:"))
    }
