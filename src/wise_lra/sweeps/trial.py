"""A trial from inside its job: validation accuracies go to the study, which may end it early."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from pytorch_lightning import Callback, LightningModule, Trainer

from wise_lra.stopping import GivenUp
from wise_lra.sweeps.study import address, make_pruner, quiet


class Reported(Callback):
    """Reports each validation's accuracy to the study of a trial, counted in validations from 1."""

    def __init__(self, trial: Mapping[str, Any]) -> None:
        """Find the trial by `storage`, `study` and `id`; the pruner is that of the search."""
        quiet()
        pruner = make_pruner(trial["pruner"], trial["startup_trials"], trial["warmup_points"])
        study = optuna.load_study(
            study_name=trial["study"], storage=address(Path(trial["storage"])), pruner=pruner
        )
        self._trial = optuna.trial.Trial(study, trial["id"])
        self._told = len(study.trials[self._trial.number].intermediate_values)
        self._points = 0

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Count the validations before a resume."""
        self._points = trainer.current_epoch

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Report, and raise GivenUp where the study says so."""
        self._points += 1
        if self._points <= self._told:
            return
        accuracy = float(trainer.callback_metrics["validation/accuracy"])
        self._trial.report(accuracy, self._points)
        if self._trial.should_prune():
            raise GivenUp(
                f"given up at step {trainer.global_step}: validation accuracy {100 * accuracy:.2f} %"
            )
