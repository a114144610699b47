"""The backbones, attentions and tasks that are known by name, in the order of a table's rows and columns.

A new one needs an entry here beside its file in configs/: tables, claims, charts and published numbers read these.
"""

from dataclasses import dataclass

NONE = "none"
"""The attention of a backbone that holds none."""
SOFTMAX = "softmax"
"""The attention that a row's name leaves out."""


@dataclass(frozen=True)
class Backbone:
    """How a backbone is shown: its colours on a light page and on a dark one.

    `space` is its name in results/published, "" where no number is printed. A `main` backbone has a row in every
    table and a line in the learning curves.
    """

    light: str
    dark: str
    space: str = ""
    holds_attention: bool = True
    main: bool = False


@dataclass(frozen=True)
class Attention:
    """How an attention is shown: the dashes of its lines, the shape of its marks.

    `published` holds its names in results/published.
    """

    dashes: tuple[int, ...]
    shape: str
    published: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """The length of a document in the Long Range Arena, and its unit."""

    length: int
    unit: str


# Okabe and Ito's colours, safe for the colour-blind, lightened for dark pages.
BACKBONES = {
    "vanilla": Backbone("#4d5660", "#b9c2cc", space="token", main=True),
    "fnet": Backbone("#c98500", "#f0b13c", holds_attention=False, main=True),
    "fnet_prenorm": Backbone("#8f6a1a", "#d9c08a", holds_attention=False),
    "wise_fixed": Backbone("#0072b2", "#58b4f0", main=True),
    "wise_adaptive": Backbone("#c94f00", "#ff8b4d", space="adaptive", main=True),
    "wise_orthogonal": Backbone("#008a65", "#2fd1a2", space="orthogonal"),
    "wise_lifting": Backbone("#b3558a", "#e79bc6", space="lifting"),
    "fourier_attention": Backbone("#857a00", "#e2d64a"),
    "wise_biorthogonal": Backbone("#6b4fbb", "#b9a3ff"),
}
ATTENTIONS = {
    SOFTMAX: Attention((1, 0), "circle", ("Transformer",)),
    "linear": Attention((7, 3), "square", ("Linear Transformer", "Linear Attention")),
    "linformer": Attention((2, 2), "triangle-up", ("Linformer",)),
    "performer": Attention((8, 2, 2, 2), "cross", ("Performer",)),
    "longformer": Attention((4, 4), "triangle-down", ("Longformer",)),
    "performer_favor": Attention((12, 3), "triangle-left"),
    "performer_wise": Attention((8, 2, 2, 2, 2, 2), "diamond"),
}
TASKS = {
    "listops": Task(2000, "tokens"),
    "text": Task(4096, "bytes"),
    "retrieval": Task(4000, "bytes"),
    "image": Task(1024, "pixels"),
    "pathfinder": Task(1024, "pixels"),
}


def label(backbone: str, attention: str) -> str:
    """Return the name of a row: "wise_adaptive", or "wise_adaptive + performer"."""
    return backbone if attention in (SOFTMAX, NONE) else f"{backbone} + {attention}"


def main_rows() -> list[tuple[str, str]]:
    """Return backbone and attention of the rows that every table has."""
    return [(name, SOFTMAX if b.holds_attention else NONE) for name, b in BACKBONES.items() if b.main]
