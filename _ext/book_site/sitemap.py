"""sitemap.xml; its addresses must be absolute, so there is none while the book has no base URL."""

from html import escape

from sphinx.application import Sphinx

HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'


def sitemap(base: str, pages: list[str]) -> str:
    return (
        HEAD
        + "".join(
            f"<url><loc>{escape(base + page)}.html</loc></url>\n" for page in pages
        )
        + "</urlset>\n"
    )


def write(app: Sphinx, error: Exception | None) -> None:
    base = app.config.html_baseurl
    if base and error is None:
        (app.outdir / "sitemap.xml").write_text(
            sitemap(base, sorted(app.env.found_docs)), encoding="utf-8"
        )


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
