"""The Chromium or Chrome of this machine: the tests, the stills and the print edition open the pages in it."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
)
MAC_CHROME = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
# a second list replaces playwright's, so its own are here too; the WebUI ones are parts of
# a browser's window that each new context would start anew, at half a second each
WITHOUT = (
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable",
    "LensOverlay",
    "MediaRouter",
    "PaintHolding",
    "ThirdPartyStoragePartitioning",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "OptimizationHints",
    "NetworkTimeServiceQuerying",
    "AimEnabled",
    "PreconnectToSearch",
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxFullPopup",
)
CHROME_FLAGS = [
    f"--disable-features={','.join(WITHOUT)}",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
NO_CHROME = (
    "no Chromium or Chrome was found, so the site was not opened in a browser; install one (Debian and Ubuntu: "
    "`apt-get install chromium`, macOS: `brew install --cask google-chrome`, anywhere: `playwright install chromium`) "
    "or name it in LLMBOOK_CHROMIUM"
)


def find_chrome(own: str) -> str | None:
    """The browser's path: LLMBOOK_CHROMIUM, a command on PATH, or the one that playwright itself installed at `own`."""
    named = os.environ.get("LLMBOOK_CHROMIUM")
    if named:
        return named
    on_path = next(filter(None, map(shutil.which, CHROMES)), None)
    return on_path or next(
        (path for path in (MAC_CHROME, own) if Path(path).exists()), None
    )


@contextmanager
def opened() -> "Iterator[Browser]":
    """The browser, headless; where there is none, the command ends with what to do."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chrome = find_chrome(playwright.chromium.executable_path)
        if chrome is None:
            sys.exit(NO_CHROME)
        browser = playwright.chromium.launch(executable_path=chrome, args=CHROME_FLAGS)
        yield browser
        browser.close()
