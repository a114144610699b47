"""Oracle: whole classifiers of the authors of WISE (wise_classifier_golden.npz), and the page docs/fidelity.md."""

import re
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from torch import Tensor

from wise_lra.config import CONFIGS, compose
from wise_lra.mixers import SoftmaxAttention, WaveletSpace
from wise_lra.model import BlockForm, Classifier, classifier
from wise_lra.wavelets import DirectBank, OrthogonalBank

ROOT = Path(__file__).parents[1]
GOLDEN = np.load(ROOT / "tests/golden/wise_classifier_golden.npz", allow_pickle=False)
CASES = range(12)
BANKS = {"direct": (DirectBank, "adawave", "dec_lo"), "orthogonal": (OrthogonalBank, "thetas", "angles")}


PAGE = (ROOT / "docs/fidelity.md").read_text(encoding="utf-8")
# `key=value key=value`, nothing else between the quotes
SWITCHES = sorted(
    {code for code in re.findall(r"`([^`]+)`", PAGE) if all("=" in word for word in code.split())}
)


def field(case: int, name: str) -> Tensor:
    return torch.from_numpy(GOLDEN[f"classifier/{case}/{name}"])


def said(case: int, name: str) -> str:
    return str(GOLDEN[f"classifier/{case}/{name}"])


def weights(case: int) -> dict[str, Tensor]:
    """Return the authors' weights by our names; their kernels are (in, out), ours (out, in)."""

    def of(name: str) -> Tensor:
        return field(case, f"weights/{name}")

    def dense(ours: str, theirs: str) -> dict[str, Tensor]:
        return {f"{ours}.weight": of(f"{theirs}/kernel").T, f"{ours}.bias": of(f"{theirs}/bias")}

    def norm(ours: str, theirs: str) -> dict[str, Tensor]:
        return {f"{ours}.weight": of(f"{theirs}/scale"), f"{ours}.bias": of(f"{theirs}/bias")}

    _, their_filter, our_filter = BANKS[said(case, "bank")]
    found = {"encoder.embedding.tokens.weight": of("Embed_0/embedding")}
    if said(case, "pool") == "cls":
        found["encoder.embedding.cls"] = of("cls")
    if said(case, "positions") == "learned":
        found["encoder.embedding.positions"] = of("posembed_input/pos_embedding")[0]
    for index in range(3):
        ours, theirs = f"encoder.blocks.{index}", f"encoderblock_{index}"
        found |= norm(f"{ours}.mixer_norm", f"{theirs}/LayerNorm_0")
        found |= dense(f"{ours}.mlp.0", f"{theirs}/MlpBlock_0/Dense_0")
        found |= dense(f"{ours}.mlp.3", f"{theirs}/MlpBlock_0/Dense_1")
        found[f"{ours}.mixer.bank.{our_filter}"] = of(f"{theirs}/{their_filter}")
        for band in range(2):
            heads = [
                of(f"{theirs}/SelfAttention_{band}/{part}/kernel").flatten(1).T
                for part in ("query", "key", "value")
            ]
            attention = f"{ours}.mixer.attentions.{band}"
            found[f"{attention}.qkv.weight"] = torch.cat(heads)
            found[f"{attention}.output.weight"] = (
                of(f"{theirs}/SelfAttention_{band}/out/kernel").flatten(0, 1).T
            )
    found |= norm("encoder.norm", "encoder_norm") | dense("head.0", "mlp") | dense("head.2", "logits")
    return found


def built(case: int) -> Classifier:
    """Return our classifier with the authors' weights, every one of which it takes."""
    bank = partial(BANKS[said(case, "bank")][0], taps=2, level=1, authors_flip=True)
    attention = partial(SoftmaxAttention, heads=4, qkv_dim=32)
    model = classifier(
        vocabulary=20,
        length=63,
        classes=5,
        documents=1,
        mixer=partial(WaveletSpace, bank=bank, attention=attention),
        d_model=32,
        depth=3,
        mlp_dim=64,
        positions=said(case, "positions"),
        pool=said(case, "pool"),
        block="wise_authors",
    )
    model.load_state_dict(weights(case), strict=True)
    theirs = sum(GOLDEN[key].size for key in GOLDEN.files if key.startswith(f"classifier/{case}/weights/"))
    assert sum(parameter.numel() for parameter in model.parameters()) == theirs
    return model.eval()


close = partial(torch.testing.assert_close, rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_a_classifier_with_the_authors_weights_gives_their_logits(case: int) -> None:
    """All rows but 0 and 2 of the masked cases with pool mean: theirs zeroes and pools padding, ours leaves it out.

    With padding zeroed and pooled ours gives theirs there, too.
    """
    model, tokens, logits = built(case), field(case, "tokens"), field(case, "logits")
    mask = tokens != 0 if said(case, "masked") == "True" else None
    found = model(tokens, mask)
    pools_padding = said(case, "pool") == "mean" and mask is not None
    padded = pools_padding and ~mask.all(dim=1)
    close(found[~padded], logits[~padded])
    if pools_padding:
        assert padded.tolist() == [True, False, True, False]
        assert ((found - logits)[padded].abs().amax(dim=1) > 0.01).all()
        x, _ = model.encoder.embedding(tokens, mask)
        for block in model.encoder.blocks:
            x = block(x * mask.unsqueeze(2), mask)
        close(model.head(model.encoder.norm(x).mean(dim=1)), logits)


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_of_the_page_composes_and_sets_what_it_names(switch: str) -> None:
    cfg = compose(switch.split())
    for key, value in (word.split("=") for word in switch.split()):
        path = f"{key}.name" if (CONFIGS / key).is_dir() else key
        assert OmegaConf.select(cfg, path) == yaml.safe_load(value), path


def test_the_page_names_every_switch_of_the_presets_and_every_form_of_the_block() -> None:
    presets = [
        yaml.safe_load(path.read_text(encoding="utf-8")) for path in (CONFIGS / "preset").glob("*.yaml")
    ]
    keys = {key for preset in presets for key in preset} - {"name", "protocol", "comparable"}
    named = {word.split("=")[0] for switch in SWITCHES for word in switch.split()}
    assert {f"preset.{key}" for key in keys} <= named
    blocks = {word.removeprefix("model.block=") for switch in SWITCHES for word in switch.split()}
    assert set(get_args(BlockForm)) <= blocks
