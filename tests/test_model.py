"""Oracle: LRA's parameter counts as its own code gives them (reference, 3.1), and invariances of the definition."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate

from wise_lra.config import compose, options
from wise_lra.data.packed import PackedSplit, pack
from wise_lra.data.task import SPLITS, Example
from wise_lra.identity import Run
from wise_lra.mixers import FourierMixer
from wise_lra.model import Block, chunk_mlp, parameter_count, sinusoids
from wise_lra.registry import TASKS
from wise_lra.results.columns import BLACK_IS_PADDING

BACKBONES = ("vanilla", "fnet", "fnet_prenorm", "wise_fixed", "wise_adaptive")
SMALL = [
    *("model.d_model=16", "model.depth=2", "model.mlp_dim=16", "model.dropout=0.0"),
    *("heads.number=2", "heads.qkv_dim=16", "heads.dropout=0.0", "wavelet.taps=4", "wavelet.name=db2"),
]


def small(task: str, backbone: str, length: int, *overrides: str) -> torch.nn.Module:
    torch.manual_seed(0)
    choices = [f"task={task}", f"backbone={backbone}", f"task.length={length}"]
    return instantiate(compose([*choices, *SMALL, *overrides]).model).eval()


# The reference counts 1.09 M for Retrieval with LRA's code, which feeds [a, b]; the others as they are.
@pytest.mark.parametrize(
    ("task", "millions", "digits", "overrides"),
    [
        ("listops", 8.95, 2, []),
        ("text", 3.49, 2, []),
        ("retrieval", 1.09, 2, ["model.interaction=concat"]),
        ("image", 0.248, 3, []),
        ("pathfinder", 0.0265, 4, []),
    ],
)
def test_vanilla_has_the_parameters_of_lra(
    task: str, millions: float, digits: int, overrides: list[str]
) -> None:
    cfg = compose([f"task={task}", "preset=lra", "backbone=vanilla", *overrides])
    with torch.device("meta"):
        assert round(parameter_count(instantiate(cfg.model)) / 1e6, digits) == millions


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_cell_gives_finite_logits_and_gradients_to_every_parameter(task: str, backbone: str) -> None:
    model = small(task, backbone, 33)
    cfg = compose([f"task={task}"])
    shape = (3, 33) if cfg.task.documents == 1 else (3, 2, 33)
    tokens = torch.randint(1, cfg.task.vocabulary, shape)
    mask = torch.arange(33).expand(shape) < 20 if cfg.task.padded else None
    logits = model(tokens, mask)
    assert logits.shape == (3, cfg.task.classes)
    logits.logsumexp(dim=1).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize(
    "backbone", [name for name in BACKBONES if name != "fnet"]
)  # published FNet masks nothing
@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_the_content_of_padding_reaches_nothing(backbone: str, pool: str) -> None:
    model = small("text", backbone, 40, f"model.pool={pool}")
    tokens = torch.randint(1, 257, (2, 40))
    mask = torch.arange(40).expand(2, 40) < torch.tensor([[17], [40]])
    other = torch.where(mask, tokens, torch.randint(1, 257, (2, 40)))
    assert not torch.equal(tokens, other)
    torch.testing.assert_close(model(tokens, mask), model(other, mask))


def test_attention_over_tokens_does_not_see_how_long_the_padding_is() -> None:
    model = small("text", "vanilla", 40, "model.pool=cls")
    tokens = torch.randint(1, 257, (2, 40))
    mask = torch.arange(40).expand(2, 40) < 17
    model.encoder.embedding.positions = model.encoder.embedding.positions[:18]
    short = model(tokens[:, :17], mask[:, :17])
    model.encoder.embedding.positions = sinusoids(41, 16)
    torch.testing.assert_close(model(tokens, mask), short)


def test_a_pair_is_encoded_by_one_encoder_and_swapping_it_swaps_the_vectors() -> None:
    model = small("retrieval", "wise_fixed", 32)
    tokens = torch.randint(1, 257, (4, 2, 32))
    mask = torch.ones_like(tokens, dtype=torch.bool)
    a = model.encoder(tokens[:, 0], mask[:, 0])
    b = model.encoder(tokens[:, 1], mask[:, 1])
    torch.testing.assert_close(model(tokens, mask), model.head(torch.cat([a, b, a * b, a - b], dim=1)))


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_an_mlp_in_chunks_gives_the_same_logits_and_gradients(backbone: str, chunk: int) -> None:
    model = small("text", backbone, 40).train()
    tokens = torch.randint(1, 257, (2, 40))
    whole = model(tokens)
    gradients = torch.autograd.grad(whole.logsumexp(dim=1).sum(), list(model.parameters()))
    chunk_mlp(model, chunk)
    chunked = model(tokens)
    torch.testing.assert_close(chunked, whole)
    found = torch.autograd.grad(chunked.logsumexp(dim=1).sum(), list(model.parameters()))
    torch.testing.assert_close(found, gradients)


def test_an_mlp_in_chunks_drops_for_the_gradient_what_it_dropped_before() -> None:
    """A weight's gradient by a finite difference under the same noise."""
    model = small("text", "fnet", 40).double().train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    chunk_mlp(model, 16)
    tokens = torch.randint(1, 257, (2, 40))
    bias = model.encoder.blocks[0].mlp[0].bias

    def loss() -> torch.Tensor:
        torch.manual_seed(1)
        return model(tokens).logsumexp(dim=1).sum()

    (gradient,) = torch.autograd.grad(loss(), bias)
    direction, small_step = torch.randn_like(bias), 1e-6
    sides = []
    for sign in (1, -1):
        with torch.no_grad():
            bias += sign * small_step * direction
            sides.append(loss())
            bias -= sign * small_step * direction
    torch.testing.assert_close(
        (sides[0] - sides[1]) / (2 * small_step), gradient @ direction, rtol=1e-4, atol=1e-7
    )


def test_the_block_of_fnet_is_google_s() -> None:
    """Oracle: f_net's two lines, written out with NumPy's FFT and float64."""
    torch.manual_seed(0)
    block = Block(6, 5, 8, FourierMixer, 0.0, "fnet").double()
    x = torch.randn(3, 5, 6, dtype=torch.float64)

    def norm(y: np.ndarray) -> np.ndarray:
        return (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-6)

    first, second = block.mlp[0], block.mlp[3]
    mixed = norm(x.numpy() + np.fft.fft2(x.numpy(), axes=(1, 2)).real)
    inner = mixed @ first.weight.detach().numpy().T
    gelu = 0.5 * inner * (1 + np.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
    expected = norm(mixed + gelu @ second.weight.detach().numpy().T)
    np.testing.assert_allclose(block(x, None).detach().numpy(), expected, atol=1e-12)


def test_fnet_normalises_its_embedding_and_nothing_after_its_blocks() -> None:
    encoder = small("text", "fnet", 40).encoder
    x, _ = encoder.embedding(torch.randint(1, 257, (2, 40)), None)
    torch.testing.assert_close(x.mean(-1), torch.zeros(2, 40), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.var(-1, unbiased=False), torch.ones(2, 40), atol=1e-4, rtol=0)
    assert isinstance(encoder.norm, torch.nn.Identity)
    weights = torch.cat([b.mlp[i].weight.flatten() for b in encoder.blocks for i in (0, 3)])
    assert weights.std().item() == pytest.approx(0.02, rel=0.1)


class Zero(torch.nn.Module):
    def __init__(self, d_model: int, length: int) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return torch.zeros_like(x)


class One(Zero):
    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return torch.ones_like(x)


@pytest.mark.parametrize(
    ("form", "of_mixer", "of_mlp_input"),
    [("transformer", {0.0, 2.0}, {1.0}), ("wise", {0.0, 2.0}, {1.0}), ("wise_authors", {1.0}, {0.0, 2.0})],
)
def test_where_dropout_stands_in_a_block(form: str, of_mixer: set[float], of_mlp_input: set[float]) -> None:
    """Hand-worked: at probability 1/2 what is dropped is 0 or twice itself."""
    torch.manual_seed(0)
    x = torch.full((4, 8, 16), 3.0)
    block = Block(16, 8, 16, One, 0.5, form).train()
    block.mlp = torch.nn.Sequential(Zero(16, 8))
    assert set((block(x, None) - x).flatten().tolist()) == of_mixer
    block = Block(16, 8, 16, Zero, 0.5, form).train()
    block.mlp = torch.nn.Sequential(torch.nn.Identity())
    if form == "transformer":
        block.mlp_norm = torch.nn.Identity()  # LayerNorm of a constant is 0
    assert set(((block(x, None) - x) / 3).flatten().tolist()) == of_mlp_input


@pytest.mark.parametrize("task", ["text", "retrieval"])
def test_heads_start_as_flax_starts_a_dense_layer(task: str) -> None:
    """Oracle: lecun_normal has the standard deviation 1 / sqrt(inputs), and is cut at two of a normal's."""
    head = small(task, "vanilla", 40, "model.d_model=128", "model.mlp_dim=512", "heads.qkv_dim=128").head
    for layer in head[:-1:2]:
        std = 1 / math.sqrt(layer.in_features)
        assert layer.weight.std().item() == pytest.approx(std, rel=0.03)
        assert 2.1 * std < layer.weight.abs().max().item() <= 2 * std / 0.8796
        assert not layer.bias.any()


def test_paper_takes_the_block_of_the_authors_and_the_others_lra_s_dropout() -> None:
    forms = {preset: compose([f"preset={preset}"]).model.block for preset in options("preset")}
    assert forms.pop("paper") == "wise_authors"
    assert set(forms.values()) == {"wise"}
    assert compose(["preset=paper", "backbone=vanilla"]).model.block == "transformer"


@pytest.mark.parametrize(("preset", "padding"), [("quick", False), ("lra", True), ("paper", True)])
@pytest.mark.parametrize("task", ["image", "pathfinder"])
def test_black_pixels_are_padding_where_the_preset_follows_lra(
    tmp_path: Path, preset: str, padding: bool, task: str
) -> None:
    cfg = compose([f"preset={preset}", f"task={task}"])
    facts = instantiate(cfg.task)
    pixels = np.tile(np.array([0, 7, 0, 255], np.uint8), 256)
    pack([Example(split, (pixels,), 1) for split in SPLITS], tmp_path / "packed", facts, {})
    batch = PackedSplit(tmp_path / "packed", "test", facts).batch(np.array([0]), 1024)
    assert batch.mask is None if not padding else batch.mask.tolist() == [[False, True, False, True] * 256]
    protocol = Run(cfg, tmp_path, {"variant": ""}).protocol
    assert (BLACK_IS_PADDING in protocol) == padding


def test_sinusoids_by_the_formula() -> None:
    table = sinusoids(5, 6)
    for position in range(5):
        for channel in range(3):
            angle = position / 10_000 ** (2 * channel / 6)
            assert table[position, 2 * channel].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[position, 2 * channel + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)
