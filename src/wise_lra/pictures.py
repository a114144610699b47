"""Figures of the wavelets in Weights & Biases, while they are learned."""

import logging

from pytorch_lightning import Callback, LightningModule, Trainer

log = logging.getLogger(__name__)


class WaveletPictures(Callback):
    """Logs functions and responses of every layer's bank at every `every`-th validation; 0 logs none.

    With `at_end` also those of the best checkpoint, after the test. Does nothing for a model without banks or a
    logger without `log_image`. It never fails a run: an error is logged once and ends the figures.
    """

    def __init__(self, every: int, at_end: bool = False) -> None:
        self.every, self.at_end, self.validations = every, at_end, 0

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Log the figures of every `every`-th validation."""
        self.validations += 1
        if self.every and not self.validations % self.every and not trainer.sanity_checking:
            self._send(trainer, module, f"step {trainer.global_step:,}")

    def on_test_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Log the figures of the tested checkpoint."""
        if self.at_end:
            self._send(trainer, module, "best checkpoint")

    def _send(self, trainer: Trainer, module: LightningModule, title: str) -> None:
        loggers = [logger for logger in trainer.loggers if hasattr(logger, "log_image")]
        if not loggers:
            return
        try:
            from wise_lra.plots.draw import draw_functions, draw_responses, pixels
            from wise_lra.plots.measure import banks, functions, responses

            for layer, (_, bank) in enumerate(banks(module), start=1):
                said = f"layer {layer} · {title}"
                figures = {
                    "functions": draw_functions({"now": functions(bank)}, said),
                    "responses": draw_responses({"now": responses(bank)}, said),
                }
                for name, figure in figures.items():
                    for logger in loggers:
                        key, image = f"wavelets/{name}_layer{layer}", pixels(figure)
                        logger.log_image(key=key, images=[image], step=trainer.global_step)
        except Exception as error:
            log.warning("no more pictures of the wavelets: %s: %s", type(error).__name__, error)
            self.every, self.at_end = 0, False
