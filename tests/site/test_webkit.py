"""The pages in WebKit, Safari's engine, where it is installed: every widget stands, and the model runs and replies."""

from collections.abc import Iterator

import pytest
from other_browsers import PAGES, assert_stands
from webkit import NO_WEBKIT, WebKit, find_webkit, started

pytestmark = pytest.mark.site


@pytest.fixture(scope="module")
def webkit() -> Iterator[WebKit]:
    """One WebKit for all pages; skips where there is none."""
    browser = find_webkit()
    if browser is None:
        pytest.skip(NO_WEBKIT)
    with started(browser) as session:
        yield session


@pytest.mark.parametrize("name", PAGES)
def test_a_page_stands_and_its_model_replies(
    webkit: WebKit, site_url: str, name: str
) -> None:
    assert_stands(webkit, site_url, name)
