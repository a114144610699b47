"""The table of methods and the table of tasks: names, order, and what is shown or compared of each.

Configuration, tables, claims, charts, dashboards and published numbers read these. A new backbone, attention or
task needs an entry here beside its file in configs/. The order is that of a table's rows and columns.
"""

from collections.abc import Iterable
from dataclasses import dataclass

NONE = "none"
"""The attention of a backbone that holds none."""
SOFTMAX = "softmax"
"""The attention that a row's name leaves out."""
PRESETS = ("paper", "lra", "small", "quick")
"""Largest first."""

Method = tuple[str, str]
"""A row of a table: backbone and attention."""


@dataclass(frozen=True)
class Backbone:
    """How a backbone is shown and what it is compared with.

    Attributes:
        light: its colour on a light page.
        dark: its colour on a dark page.
        space: its name in results/published, "" where no number is printed.
        holds_attention: whether it takes one of ATTENTIONS.
        main: whether it has a row in every table and a line in the learning curves.
        wavelets: the wavelets in whose space the paper's claims are tested ("fixed"), "" for no claim.
        fourier: the Fourier method that it is a form of ("fnet"); wavelet space is compared with the best form.
    """

    light: str
    dark: str
    space: str = ""
    holds_attention: bool = True
    main: bool = False
    wavelets: str = ""
    fourier: str = ""


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
    """What the Long Range Arena has of a task.

    Attributes:
        length: of a document.
        unit: of length; a task of "pixels" is one of images.
        counts: examples of train, validation and test; of Text by data.protocol=held-out, then lra.
        reader: the module of `wise_lra.data` that reads the published files, "" where none are published.
        generator: the module there that generates the examples by the task's definition, "" where none does.
        standin: the module there that makes up other data in place of the real ones, "" where none does.
        slack: the share by which other data may differ from these and still be LRA's.
    """

    length: int
    unit: str
    counts: tuple[tuple[int, int, int], ...]
    reader: str = ""
    generator: str = ""
    standin: str = ""
    slack: float = 0.0


# Okabe and Ito's colours, safe for the colour-blind, lightened for dark pages.
BACKBONES = {
    "vanilla": Backbone("#4d5660", "#b9c2cc", space="token", main=True),
    "fnet": Backbone("#c98500", "#f0b13c", holds_attention=False, main=True, fourier="fnet"),
    "fnet_prenorm": Backbone("#8f6a1a", "#d9c08a", holds_attention=False, fourier="fnet"),
    "wise_fixed": Backbone("#0072b2", "#58b4f0", main=True, wavelets="fixed"),
    "wise_adaptive": Backbone("#c94f00", "#ff8b4d", space="adaptive", main=True, wavelets="adaptive"),
    "wise_orthogonal": Backbone("#008a65", "#2fd1a2", space="orthogonal"),
    "wise_lifting": Backbone("#b3558a", "#e79bc6", space="lifting"),
    "fourier_attention": Backbone("#857a00", "#e2d64a", fourier="fourier_attention"),
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
    "listops": Task(
        length=2000,
        unit="tokens",
        counts=((96_000, 2_000, 2_000),),
        reader="listops",
        generator="listops",
    ),
    "text": Task(
        length=4096,
        unit="bytes",
        counts=((22_500, 2_500, 25_000), (25_000, 25_000, 25_000)),
        reader="text",
        standin="synthetic_text",
    ),
    "retrieval": Task(
        length=4000,
        unit="bytes",
        counts=((147_086, 18_090, 17_437),),
        reader="retrieval",
        standin="synthetic_retrieval",
        slack=0.01,  # nobody states the exact counts: papers repeat these
    ),
    "image": Task(
        length=1024,
        unit="pixels",
        counts=((45_000, 5_000, 10_000),),
        reader="image",
        standin="synthetic_image",
    ),
    "pathfinder": Task(
        length=1024,
        unit="pixels",
        counts=((160_000, 20_000, 20_000),),
        reader="pathfinder_release",
        generator="pathfinder",
        slack=0.01,  # LRA has empty images
    ),
}


def method(backbone: str, attention: str = SOFTMAX) -> Method:
    """Return backbone and attention as a row has them: an attention only where the backbone holds one."""
    return backbone, attention if BACKBONES[backbone].holds_attention else NONE


def label(backbone: str, attention: str) -> str:
    """Return the name of a row: "wise_adaptive", or "wise_adaptive + performer"."""
    return backbone if attention in (SOFTMAX, NONE) else f"{backbone} + {attention}"


def main_rows() -> list[Method]:
    """Return the rows that every table has."""
    return [method(name) for name, known in BACKBONES.items() if known.main]


def rank(name: str, order: Iterable[str]) -> tuple[int, str]:
    """Return a sort key: the names of `order` in its order, then all others by name."""
    names = list(order)
    return (names.index(name) if name in names else len(names), name)
