"""The report as one HTML page without external files."""

import html
from collections.abc import Sequence

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
pre { background: #f4f4f4; padding: 1rem; overflow-x: auto; }
svg { max-width: 100%; height: auto; }
"""


def page(title: str, *parts: str) -> str:
    """Return a page of HTML fragments."""
    head = f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
    body = "\n".join((f"<h1>{html.escape(title)}</h1>", *parts))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{head}</head>\n'
        f"<body>{body}</body></html>\n"
    )


def paragraph(text: str) -> str:
    """Return plain text as a paragraph."""
    return f"<p>{html.escape(text)}</p>"


def listing(lines: Sequence[str]) -> str:
    """Return lines of plain text as preformatted text."""
    return f"<pre>{html.escape(chr(10).join(lines))}</pre>"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of plain text."""

    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + row(header, "th") + "".join(row(cells, "td") for cells in rows) + "</table>"


def figure(svg: str) -> str:
    """Return the SVG element of an SVG document."""
    return svg[svg.index("<svg") :]
