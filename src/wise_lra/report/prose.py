"""Markdown of results/markdown.py as HTML: the same text and the same numbers, in tables that everyone can read."""

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

VERDICTS = {"holds": "yes", "does not hold": "no", "not enough runs": "open"}
"""The verdicts on a claim, with the classes that page.css shows them by."""

_NOT_MODELS = ("majority class", "published", "difference")  # lines of a table that are not a model's own


def html(markdown: str, anchor: str, caption: str) -> tuple[Markup, list[tuple[str, str]]]:
    """Return Markdown as HTML, and anchor and text of the headings in it; anchors begin with `anchor`.

    A table is captioned with the heading above it, or with `caption`; its first cells are row headers; it scrolls
    sideways on its own. HTML in the text stays text.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens, headings, done = parser.parse(markdown), [], []
    for place, token in enumerate(tokens):
        before, after = [], []
        if token.type == "heading_open":
            caption = _plain(tokens[place + 1].content)
            headings.append((slug(anchor, caption), caption))
            token.attrs["id"] = headings[-1][0]
        elif token.type == "table_open":
            name = Markup.escape(caption)
            before = [f'<div class="scroll" tabindex="0" role="group" aria-label="{name}">']
            after = [f'<caption class="sr">{name}</caption>']
        elif token.type == "table_close":
            after = ["</div>"]
        elif token.type in ("th_open", "td_open"):
            _mark(token, tokens[place - 1], _plain(tokens[place + 1].content))
            tokens[place + 2].tag = token.tag
        done += [*map(_raw, before), token, *map(_raw, after)]
    return Markup(parser.renderer.render(done, parser.options, {})), headings


def slug(*parts: str) -> str:
    """Return an anchor: letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


def _mark(cell: Token, before: Token, text: str) -> None:
    """Make the first cell of a row its header, an empty header a cell, and let a verdict or a failure be seen."""
    if cell.type == "th_open":
        cell.tag = "th" if text else "td"
        cell.attrs |= {"scope": "col"} if text else {}
    elif before.type == "tr_open":
        cell.tag = "th"
        cell.attrs["scope"] = "row"
        before.attrs |= {"class": "aside"} if text in _NOT_MODELS else {}
    elif text in VERDICTS:
        cell.attrs["class"] = f"verdict {VERDICTS[text]}"
    elif text.startswith("FAIL"):
        cell.attrs["class"] = "fail"


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text).replace("**", "")


def _raw(markup: str) -> Token:
    return Token("html_block", "", 0, content=markup)
