"""Tables in LaTeX: results/TABLE.tex, for a document that loads booktabs and graphicx."""

import re
from collections.abc import Iterable, Sequence

from wise_lra.results.lines import DASH, MINUS, lines
from wise_lra.results.tables import Table

_ESCAPES = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "±": r"$\pm$",
    MINUS: "$-$",
    DASH: "---",
    "[": "{[}",  # after \\ a bracket would be its optional argument
    "*": "{*}",  # likewise
}

_SPREAD = re.compile(r" \$\\pm\$ [\d.]+( \(n=\d+\))?")  # set small: the mean is what is read first


def latex(tables: Sequence[Table]) -> str:
    r"""Return a table environment a preset, changed ones aside; needs \usepackage{booktabs,graphicx}."""
    parts = [r"% Needs \usepackage{booktabs,graphicx}. Made by `make tables`; do not edit."]
    for table in tables:
        if table.changed:
            continue
        parts += [
            r"\begin{table}",
            r"\centering\setlength{\tabcolsep}{4pt}",
            rf"\caption{{Test accuracy (\%), preset {escape(table.preset)}.}}",
            r"\resizebox{\linewidth}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * len(table.header)}}}",
            r"\toprule",
            _row(["", *map(escape, table.header)]),
            r"\midrule",
            *_body(table),
            r"\bottomrule",
            r"\end{tabular}}",
            "",
            r"\medskip",
            rf"\parbox{{\linewidth}}{{\scriptsize {escape(' '.join(table.notes))}}}",
            r"\end{table}",
        ]
    return "\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Return text in which nothing is a LaTeX command; letters beyond ASCII are left to its UTF-8 input."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def _body(table: Table) -> Iterable[str]:
    for line in lines(table):
        texts = [_SPREAD.sub(r"\\,{\\scriptsize\g<0>}", escape(text)) for text in line.texts]
        bold = [rf"\textbf{{{t}}}" if b else t for t, b in zip(texts, line.bold, strict=True)]
        yield _row([escape(line.label), *bold])


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
