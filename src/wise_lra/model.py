"""The model around every mixer: embedding, blocks, pool and classification head.

Sources: the Transformer of the Long Range Arena (Tay et al., arXiv 2011.04006, google-research/long-range-arena),
whose initial values and activations are kept; the block of WISE (arXiv 2210.01989, authors' code); the block of
FNet (Lee-Thorp et al., arXiv 2105.03824, google-research/f_net). docs/fidelity.md lists what differs from each.
"""

import math
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from wise_lra.mixers.mixer import MixerFactory

BlockForm = Literal["transformer", "wise", "wise_authors", "fnet"]
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
        norm: LayerNorm before the dropout, as FNet has it.

    Raises:
        ValueError: an unknown kind of ``positions``.
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        d_model: int,
        positions: Positions,
        cls: bool,
        dropout: float,
        norm: bool = False,
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
        self.norm = nn.LayerNorm(d_model, _EPSILON) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Map tokens (batch, length) and their mask to (batch, positions, d_model) and the mask of these."""
        x = self.tokens(tokens)
        if self.cls is not None:
            x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1)
            mask = None if mask is None else functional.pad(mask, (1, 0), value=True)
        return self.dropout(self.norm(x + self.positions[: x.shape[1]])), mask


class Block(nn.Module):
    """A mixer and an MLP, each added to its input; ``form`` says where LayerNorm and dropout stand.

    ========================  ==========================================  ======================================
    form                      block                                       dropout
    ========================  ==========================================  ======================================
    transformer (LRA)         x + mixer(norm(x)), then x + mlp(norm(x))   mixer's output, inside and after MLP
    wise                      x + mixer(norm(x)), then x + mlp(x)         as transformer
    wise_authors              as wise                                     MLP's input, inside and after MLP
    fnet (google f_net)       norm(x + mixer(x)), then norm(x + mlp(x))   after MLP; weights start as N(0, 0.02)
    ========================  ==========================================  ======================================

    ``mlp_chunk`` is set by `chunk_mlp`. Raises ValueError on an unknown ``form``.
    """

    def __init__(
        self, d_model: int, length: int, mlp_dim: int, mixer: MixerFactory, dropout: float, form: BlockForm
    ) -> None:
        super().__init__()
        if form not in get_args(BlockForm):
            raise ValueError(f"model.block={form!r}: expected one of {', '.join(get_args(BlockForm))}")
        self.form = form
        self.mixer_norm = nn.LayerNorm(d_model, _EPSILON)
        self.mixer = mixer(d_model=d_model, length=length)
        self.mlp_norm: nn.Module = nn.Identity()
        if form in ("transformer", "fnet"):
            self.mlp_norm = nn.LayerNorm(d_model, _EPSILON)
        elif form == "wise_authors":
            self.mlp_norm = nn.Dropout(dropout)
        layer = _fnet_linear if form == "fnet" else _linear
        self.mlp = nn.Sequential(
            layer(d_model, mlp_dim),
            nn.GELU("tanh"),
            nn.Dropout(0.0 if form == "fnet" else dropout),
            layer(mlp_dim, d_model),
            nn.Dropout(dropout),
        )
        self.dropout = nn.Dropout(dropout if form in ("transformer", "wise") else 0.0)
        self.mlp_chunk: int | None = None

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Map (batch, positions, d_model) to the same shape."""
        if self.form == "fnet":
            x = self.mixer_norm(x + self.mixer(x, mask))
            return self.mlp_norm(x + self._mlp(x))
        x = x + self.dropout(self.mixer(self.mixer_norm(x), mask))
        return x + self._mlp(self.mlp_norm(x))

    def _mlp(self, x: Tensor) -> Tensor:
        """Apply the MLP to each position, ``mlp_chunk`` positions at a time."""
        if self.mlp_chunk is None:
            return self.mlp(x)
        drops = any(layer.p > 0 for layer in self.mlp if isinstance(layer, nn.Dropout))
        again = partial(checkpoint, self.mlp, use_reentrant=False, preserve_rng_state=drops)
        return torch.cat([again(chunk) for chunk in x.split(self.mlp_chunk, dim=1)], dim=1)


class Encoder(nn.Module):
    """A document to one vector: embedding, ``depth`` blocks, a last LayerNorm (FNet's blocks end with one), pool.

    Args:
        pool: "cls" takes the vector in front of the document, "mean" the mean over its real tokens.
        mixer: makes the mixer of a block; called as ``mixer(d_model=..., length=<positions>)``.
        vocabulary, length, d_model, positions: see `Embedding`. mlp_dim, dropout, block: see `Block`.

    Raises:
        ValueError: an unknown ``pool``, a size or dropout out of range, or what the mixer refuses.
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
        block: BlockForm,
    ) -> None:
        super().__init__()
        if pool not in ("cls", "mean"):
            raise ValueError(f"model.pool={pool!r}: expected 'cls' or 'mean'")
        for name, size in {"d_model": d_model, "depth": depth, "mlp_dim": mlp_dim}.items():
            if size < 1:
                raise ValueError(f"model.{name}={size}: expected at least 1")
        if not 0 <= dropout < 1:
            raise ValueError(f"model.dropout={dropout}: expected a probability in [0, 1)")
        self.pool, self.d_model, cls = pool, d_model, pool == "cls"
        self.embedding = Embedding(vocabulary, length, d_model, positions, cls, dropout, norm=block == "fnet")
        self.blocks = nn.ModuleList(
            Block(d_model, length + cls, mlp_dim, mixer, dropout, block) for _ in range(depth)
        )
        self.norm = nn.Identity() if block == "fnet" else nn.LayerNorm(d_model, _EPSILON)

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
        self.head = nn.Sequential(
            _head_linear(encoder.d_model, mlp_dim), nn.ReLU(), _head_linear(mlp_dim, classes)
        )

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
            _head_linear(width, mlp_dim),
            nn.ReLU(),
            _head_linear(mlp_dim, mlp_dim // 2),
            nn.ReLU(),
            _head_linear(mlp_dim // 2, classes),
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
    block: BlockForm = "transformer",
    interaction: Interaction = "nli",
) -> Classifier | PairClassifier:
    """Return the model for a task of one document, or of two: arguments are those of the parts above.

    Raises:
        ValueError: see the parts.
    """
    encoder = Encoder(vocabulary, length, mixer, d_model, depth, mlp_dim, positions, pool, dropout, block)
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
    """Return a layer with Xavier's weights and zero bias, as LRA and the authors start those of a block."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _head_linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a layer as flax starts a Dense by default, and LRA and the authors their heads: lecun_normal.

    That is N(0, 1 / inputs) cut at two standard deviations of a normal that is wider to make up for the cut.
    """
    layer = nn.Linear(inputs, outputs)
    std = 1 / (math.sqrt(inputs) * 0.87962566103423978)
    nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
    nn.init.zeros_(layer.bias)
    return layer


def _fnet_linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a layer with weights N(0, 0.02) and zero bias, as FNet starts all of its layers."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer
