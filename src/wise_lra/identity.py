"""The identity of a run: its key, folder and record; the settings that are recorded, or decide its result."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from wise_lra.config import ConfigurationError, composed, plain_dict, preparation
from wise_lra.results.columns import BLACK_IS_PADDING
from wise_lra.runs.key import RunKey

_SCIENCE = ("task", "model", "backbone", "attention", "heads", "wavelet", "recipe", "preset")
_SCIENCE_DATA = (
    "protocol",
    "seed",
    "generated",
    "standin",
    "validation_examples",
    "test_examples",
    "buckets",
)
_MACHINE = ("records", "runs", "overwrite", "callbacks", "logger", "cluster", "test", "trial")
_CHOICES = {
    "preset": "preset.name",
    "task": "task.name",
    "backbone": "backbone.name",
    "attention": "attention.name",
}


@dataclass(frozen=True)
class Run:
    """A checked configuration with the prepared data that it runs on."""

    cfg: DictConfig
    data: Path
    manifest: dict[str, Any]

    @property
    def variant(self) -> str:
        """What replaced the Arena's own data, "" where nothing did."""
        return str(self.manifest["variant"])

    @property
    def name(self) -> str:
        """The run in one line: "text (stand-in) wise_adaptive softmax seed 0"."""
        cfg, variant = self.cfg, f" ({self.variant})" * bool(self.variant)
        return f"{cfg.task.name}{variant} {cfg.backbone.name} {cfg.attention.name} seed {cfg.seed}"

    @cached_property
    def key(self) -> RunKey:
        """Which run it is; found once, for the preset's label takes a second composition."""
        cfg = self.cfg
        return RunKey(
            preset=preset_label(cfg),
            task=cfg.task.name,
            variant=self.variant,
            backbone=cfg.backbone.name,
            attention=cfg.attention.name,
            seed=cfg.seed,
        )

    @property
    def folder(self) -> Path:
        """Where its log, checkpoints and curves are."""
        return self.key.folder(Path(self.cfg.runs))

    @property
    def record(self) -> Path:
        """Where its record is, or will be."""
        return self.key.record(Path(self.cfg.records))

    @property
    def protocol(self) -> str:
        """Whose rules it follows, and where Text validates on test or black pixels are masked, as in LRA."""
        cfg, parts = self.cfg, [str(self.cfg.preset.protocol)]
        if cfg.data.protocol != "held-out":
            parts.append(f"data.protocol={cfg.data.protocol}")
        if cfg.task.padded and instantiate(cfg.task).pictures:
            parts.append(BLACK_IS_PADDING)
        return ", ".join(parts)

    @property
    def identity(self) -> dict[str, Any]:
        """What a stopped run must still have when it goes on: the recorded configuration, and the same data."""
        return recorded_config(self.cfg) | {"sha256": self.manifest["sha256"]}

    def wandb(self) -> dict[str, Any]:
        """Return what W&B files it under; the id is the same when a stopped run goes on."""
        digest = hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:8]
        cfg = self.cfg
        return {
            "id": f"{cfg.task.name}-{cfg.backbone.name}-{digest}",
            "name": self.name,
            "group": self.key.preset,
            "job_type": self.record.parents[2].name,  # the task, a stand-in under its own name
            "tags": [cfg.backbone.name, cfg.attention.name],
        }


def open_run(cfg: DictConfig) -> Run:
    """Find or make the data of a run, and hash them. Raises ConfigurationError, and what the data room raises."""
    from wise_lra.data.packed import verify  # here: torch takes a second to import
    from wise_lra.data.prepare import prepare

    if not cfg.data.folder:
        prepared = prepare(**preparation(cfg))
        return Run(cfg, prepared.folder, prepared.manifest)
    try:
        manifest = verify(Path(cfg.data.folder), instantiate(cfg.task))
    except FileNotFoundError:
        raise ConfigurationError(
            f"data.folder={cfg.data.folder}: no prepared data there; `make data` makes some"
        ) from None
    if cfg.task.name == "text" and manifest["protocol"] != cfg.data.protocol:
        raise ConfigurationError(
            f"data.folder={cfg.data.folder}: validates by {manifest['protocol']}, "
            f"expected data.protocol={cfg.data.protocol}"
        )
    return Run(cfg, Path(cfg.data.folder), manifest)


def preset_label(cfg: DictConfig) -> str:
    """Return the preset's name, or name and hash where a setting that matters is not the preset's own.

    So a changed run never overwrites the record of the preset's own run, and is not in its column.
    """
    own = composed([f"{group}={OmegaConf.select(cfg, key)}" for group, key in _CHOICES.items()])
    if _science(cfg) == _science(own):
        return str(cfg.preset.name)
    digest = hashlib.sha256(json.dumps(_science(cfg), sort_keys=True).encode()).hexdigest()
    return f"{cfg.preset.name}-{digest[:8]}"


def recorded_config(cfg: DictConfig) -> dict[str, Any]:
    """Return a configuration without what belongs to one machine or person."""
    plain = plain_dict(cfg)
    data = {key: plain["data"][key] for key in ("source", *_SCIENCE_DATA)}
    recorded = {key: value for key, value in plain.items() if key not in _MACHINE}
    trainer = {key: value for key, value in plain["trainer"].items() if key not in ("_target_", "max_time")}
    return recorded | {"data": data, "trainer": trainer}


def _science(cfg: DictConfig) -> dict[str, Any]:
    """Return what decides a result; the other keys say where files lie and how a run is watched."""
    plain = plain_dict(cfg)
    return {key: plain[key] for key in _SCIENCE} | {
        f"data.{key}": plain["data"][key] for key in _SCIENCE_DATA
    }
