"""Tables in LaTeX: results/TABLE.tex, for a document that loads booktabs and graphicx."""

import re
from collections.abc import Sequence

from wise_lra.results.tables import Table
from wise_lra.results.text import DASH, MINUS, lines, notes

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
_TABLE = r"""\begin{table}
\centering\setlength{\tabcolsep}{4pt}
\caption{Test accuracy (\%%), preset %(preset)s.}
\resizebox{\linewidth}{!}{%%
\begin{tabular}{l%(align)s}
\toprule
%(header)s
\midrule
%(rows)s
\bottomrule
\end{tabular}}

\medskip
\parbox{\linewidth}{\scriptsize %(notes)s}
\end{table}
"""


def latex(tables: Sequence[Table]) -> str:
    r"""Return a table environment for each of the true presets; needs \usepackage{booktabs,graphicx}."""
    text = r"% Needs \usepackage{booktabs,graphicx}. Made by `make tables`; do not edit." + "\n"
    for table in (table for table in tables if not table.changed):
        rows = []
        for line in lines(table):
            cells = ((_SPREAD.sub(r"\\,{\\scriptsize\g<0>}", escape(text)), best) for text, best in line)
            rows.append(_row([escape(line.label), *(rf"\textbf{{{c}}}" if best else c for c, best in cells)]))
        text += _TABLE % {
            "preset": escape(table.preset),
            "align": "r" * len(table.header),
            "header": _row(["", *map(escape, table.header)]),
            "rows": "\n".join(rows),
            "notes": escape(" ".join(notes(table))),
        }
    return text


def escape(text: str) -> str:
    """Return text in which nothing is a LaTeX command; letters beyond ASCII are left to its UTF-8 input."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
