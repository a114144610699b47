"""The model of a configuration, and the number of parameters that it may have."""

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from wise_lra.config import CONFIGS, plain_dict
from wise_lra.constructors import ConfigurationError
from wise_lra.model import chunk_mlp, parameter_count


def build_model(cfg: DictConfig) -> torch.nn.Module:
    """Return the untrained model of a run, its weights drawn from the run's seed.

    Raises ConfigurationError where it has more parameters than the preset allows.
    """
    torch.manual_seed(cfg.seed)
    model = instantiate(cfg.model)
    chunk_mlp(model, cfg.trainer.mlp_chunk)
    if limit := cfg.preset.parameter_limit:
        own, vanilla = parameter_count(model), parameters_of_vanilla(cfg)
        if own > limit * vanilla:
            raise ConfigurationError(
                f"{cfg.backbone.name}: {own:,} parameters are {own / vanilla:.1%} of vanilla's {vanilla:,}; "
                f"preset={cfg.preset.name} allows {limit:.0%}: lower wavelet.taps or heads.qkv_dim"
            )
    return model


def parameters_of_vanilla(cfg: DictConfig) -> int:
    """Return the parameters of the vanilla backbone at these sizes, without memory for its weights."""
    plain = plain_dict(cfg, resolve=False)
    plain["backbone"] = OmegaConf.load(CONFIGS / "backbone" / "vanilla.yaml")
    if plain["attention"]["mixer"] is None:
        plain["attention"] = OmegaConf.load(CONFIGS / "attention" / "softmax.yaml")
    with torch.device("meta"):
        return parameter_count(instantiate(OmegaConf.create(plain).model))
