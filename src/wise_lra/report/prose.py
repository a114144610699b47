"""Markdown of the results room as HTML: the same text and the same numbers, in tables that everyone can read."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

VERDICTS = {"holds": "yes", "does not hold": "no", "not enough runs": "open"}

ASIDES = ("majority class", "published", "difference")  # lines of a table that are not a model's own


@dataclass(frozen=True)
class Heading:
    """A heading that a table of contents can point to."""

    anchor: str
    text: str


def html(markdown: str, anchor: str, caption: str) -> tuple[Markup, list[Heading]]:
    """Return Markdown as HTML with the headings in it, whose anchors begin with `anchor`.

    A table is captioned with the heading above it, or with `caption`; its first cells are row headers; it scrolls
    sideways on its own. HTML in the text stays text.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens, headings = parser.parse(markdown), []
    done: list[Token] = []
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            text = tokens[place + 1].content
            headings.append(Heading(slug(anchor, text), caption := _plain(text)))
            token.attrs["id"] = headings[-1].anchor
        elif token.type == "table_open":
            done += [
                _raw(f'<div class="scroll" tabindex="0" role="group" aria-label="{Markup.escape(caption)}">')
            ]
            done += [token, _raw(f'<caption class="sr">{Markup.escape(caption)}</caption>')]
            continue
        elif token.type == "table_close":
            done += [token, _raw("</div>")]
            continue
        _mark_cell(tokens, place)
        done.append(token)
    return Markup(parser.renderer.render(done, parser.options, {})), headings


def slug(*parts: str) -> str:
    """Return an anchor: letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


def _mark_cell(tokens: Sequence[Token], place: int) -> None:
    """Make the first cell of a row its header, and let a verdict or a failure be seen."""
    token = tokens[place]
    if token.type in ("th_open", "th_close"):
        named = tokens[place + (1 if token.type == "th_open" else -1)].content
        if token.type == "th_open" and named:
            token.attrs["scope"] = "col"
        token.tag = "th" if named else "td"
    elif token.type in ("td_open", "td_close"):
        first = place - (1 if token.type == "td_open" else 3)
        if tokens[first].type == "tr_open":
            token.tag = "th"
            if token.type == "td_open":
                token.attrs["scope"] = "row"
                if tokens[place + 1].content in ASIDES:
                    tokens[first].attrs["class"] = "aside"
        elif token.type == "td_open":
            text = _plain(tokens[place + 1].content)
            if text in VERDICTS:
                token.attrs["class"] = f"verdict {VERDICTS[text]}"
            elif text.startswith("FAIL"):
                token.attrs["class"] = "fail"


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text).replace("**", "")


def _raw(markup: str) -> Token:
    return Token("html_block", "", 0, content=markup)
