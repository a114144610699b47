"""The body that every mixer shares: embedding, pre-norm blocks with one socket for a mixer, pool, head.

Source: the Transformer of the Long Range Arena (Tay et al., arXiv 2011.04006, and the layers of
google-research/long-range-arena), whose initial values and activations are kept.
"""

import math
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from wise_lra.mixers.mixer import MixerFactory

Positions = Literal["sinusoidal", "learned"]
Pool = Literal["cls", "mean"]
Interaction = Literal["nli", "concat"]

_EPSILON = 1e-6  # of every LayerNorm, as in LRA's code


class Embedding(nn.Module):
    """Tokens to vectors: a table N(0, 1), positions added, dropout; a learned CLS vector in front if asked for.

    Args:
        vocabulary: number of token ids, padding included.
        positions: "sinusoidal" (fixed) or "learned" (N(0, 0.02)).
        length: tokens of an input at most; the output has one position more with ``cls``.
        cls: put a vector in front that starts as zeros.

    Raises:
        ValueError: an unknown kind of ``positions``.
    """

    def __init__(
        self, vocabulary: int, length: int, d_model: int, positions: Positions, cls: bool, dropout: float
    ) -> None:
        super().__init__()
        if positions not in ("sinusoidal", "learned"):
            raise ValueError(f"model.positions={positions!r}: expected 'sinusoidal' or 'learned'")
        self.tokens = nn.Embedding(vocabulary, d_model)
        self.cls = nn.Parameter(torch.zeros(1, 1, d_model)) if cls else None
        if positions == "learned":
            self.positions = nn.Parameter(torch.randn(length + cls, d_model) * 0.02)
        else:
            self.register_buffer("positions", sinusoids(length + cls, d_model), persistent=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Map tokens (batch, length) and their mask to (batch, positions, d_model) and the mask of these."""
        x = self.tokens(tokens)
        if self.cls is not None:
            x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1)
            mask = None if mask is None else functional.pad(mask, (1, 0), value=True)
        return self.dropout(x + self.positions[: x.shape[1]]), mask


class Block(nn.Module):
    """``x + mixer(norm(x))``, then ``x + mlp(norm(x))``, dropout on each addend.

    With ``mlp_norm=False`` the MLP reads x as it is: the block of WISE (arXiv 2210.01989, authors' code).
    ``mlp_chunk`` is set by `chunk_mlp`.
    """

    def __init__(
        self, d_model: int, length: int, mlp_dim: int, mixer: MixerFactory, dropout: float, mlp_norm: bool
    ) -> None:
        super().__init__()
        self.mixer_norm = nn.LayerNorm(d_model, _EPSILON)
        self.mixer = mixer(d_model=d_model, length=length)
        self.mlp_norm = nn.LayerNorm(d_model, _EPSILON) if mlp_norm else nn.Identity()
        self.mlp = nn.Sequential(
            _linear(d_model, mlp_dim),
            nn.GELU("tanh"),
            nn.Dropout(dropout),
            _linear(mlp_dim, d_model),
            nn.Dropout(dropout),
        )
        self.dropout = nn.Dropout(dropout)
        self.mlp_chunk: int | None = None

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Map (batch, positions, d_model) to the same shape."""
        x = x + self.dropout(self.mixer(self.mixer_norm(x), mask))
        return x + self._fed(self.mlp_norm(x))

    def _fed(self, x: Tensor) -> Tensor:
        """Return what the MLP makes of each position."""
        if self.mlp_chunk is None:
            return self.mlp(x)
        again = partial(checkpoint, self.mlp, use_reentrant=False, preserve_rng_state=self.dropout.p > 0)
        return torch.cat([again(chunk) for chunk in x.split(self.mlp_chunk, dim=1)], dim=1)


class Encoder(nn.Module):
    """A document to one vector: embedding, ``depth`` blocks, a last LayerNorm, pool.

    Args:
        pool: "cls" takes the vector in front of the document, "mean" the mean over its real tokens.
        mixer: makes the mixer of a block; called as ``mixer(d_model=..., length=<positions>)``.
        vocabulary, length, d_model, positions: see `Embedding`. mlp_dim, dropout, mlp_norm: see `Block`.

    Raises:
        ValueError: an unknown ``pool``, ``depth`` below 1, or what the mixer cannot be built for.
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        mixer: MixerFactory,
        d_model: int,
        depth: int,
        mlp_dim: int,
        positions: Positions,
        pool: Pool,
        dropout: float,
        mlp_norm: bool,
    ) -> None:
        super().__init__()
        if pool not in ("cls", "mean"):
            raise ValueError(f"model.pool={pool!r}: expected 'cls' or 'mean'")
        if depth < 1:
            raise ValueError(f"model.depth={depth}: expected at least 1")
        self.pool, self.d_model = pool, d_model
        cls = pool == "cls"
        self.embedding = Embedding(vocabulary, length, d_model, positions, cls, dropout)
        self.blocks = nn.ModuleList(
            Block(d_model, length + cls, mlp_dim, mixer, dropout, mlp_norm) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(d_model, _EPSILON)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map tokens, int64 (batch, length), and mask, bool (batch, length) or None, to (batch, d_model)."""
        x, mask = self.embedding(tokens, mask)
        for block in self.blocks:
            x = block(x, mask)
        if self.pool == "cls":
            return self.norm(x[:, 0])
        x = self.norm(x)
        if mask is None:
            return x.mean(dim=1)
        real = mask.unsqueeze(-1)
        return (x * real).sum(dim=1) / real.sum(dim=1).clamp_min(1)


class Classifier(nn.Module):
    """One document to logits: encoder, Dense(mlp_dim), ReLU, Dense(classes)."""

    def __init__(self, encoder: Encoder, mlp_dim: int, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(_linear(encoder.d_model, mlp_dim), nn.ReLU(), _linear(mlp_dim, classes))

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map tokens (batch, length) and mask to logits (batch, classes)."""
        return self.head(self.encoder(tokens, mask))


class PairClassifier(nn.Module):
    """Two documents to logits: one encoder for both, their vectors put together, an MLP of three layers.

    ``interaction`` "nli" feeds [a, b, a * b, a - b] (LRA's paper, and WISE), "concat" feeds [a, b] (LRA's code).
    """

    def __init__(self, encoder: Encoder, mlp_dim: int, classes: int, interaction: Interaction) -> None:
        super().__init__()
        if interaction not in ("nli", "concat"):
            raise ValueError(f"model.interaction={interaction!r}: expected 'nli' or 'concat'")
        self.encoder, self.interaction = encoder, interaction
        width = encoder.d_model * (4 if interaction == "nli" else 2)
        self.head = nn.Sequential(
            _linear(width, mlp_dim),
            nn.ReLU(),
            _linear(mlp_dim, mlp_dim // 2),
            nn.ReLU(),
            _linear(mlp_dim // 2, classes),
        )

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map tokens (batch, 2, length) and mask to logits (batch, classes)."""
        both = self.encoder(tokens.flatten(0, 1), None if mask is None else mask.flatten(0, 1))
        a, b = both.unflatten(0, (-1, 2)).unbind(dim=1)
        pair = [a, b, a * b, a - b] if self.interaction == "nli" else [a, b]
        return self.head(torch.cat(pair, dim=-1))


def classifier(
    vocabulary: int,
    length: int,
    classes: int,
    documents: int,
    mixer: MixerFactory,
    d_model: int,
    depth: int,
    mlp_dim: int,
    positions: Positions = "sinusoidal",
    pool: Pool = "cls",
    dropout: float = 0.1,
    mlp_norm: bool = True,
    interaction: Interaction = "nli",
) -> Classifier | PairClassifier:
    """Return the model for a task of one document, or of two: arguments are those of the parts above.

    Raises:
        ValueError: see the parts.
    """
    encoder = Encoder(vocabulary, length, mixer, d_model, depth, mlp_dim, positions, pool, dropout, mlp_norm)
    if documents == 2:
        return PairClassifier(encoder, mlp_dim, classes, interaction)
    return Classifier(encoder, mlp_dim, classes)


def chunk_mlp(model: nn.Module, positions: int | None) -> None:
    """Have each MLP take so many positions at a time, and again for the gradient; None is all at once, kept.

    The MLP's inner values are most of what a training step keeps. Results are the same but for rounding and for
    which random numbers dropout draws.
    """
    for module in model.modules():
        if isinstance(module, Block):
            module.mlp_chunk = positions


def sinusoids(positions: int, d_model: int) -> Tensor:
    """Return (positions, d_model): sines in the even channels, cosines in the odd (Vaswani et al., 3.5)."""
    rates = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10_000.0) / d_model))
    angles = torch.arange(positions)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :d_model]


def parameter_count(model: nn.Module) -> int:
    """Return the number of trained parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a layer with Xavier's weights and no bias to begin with, as flax initialises LRA's."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
