"""Pictures of the wavelets for Weights & Biases, while they are learned."""

import logging

import numpy as np
from pytorch_lightning import Callback, LightningModule, Trainer

log = logging.getLogger(__name__)


class WaveletPictures(Callback):
    """Sends functions and responses of every layer's bank to W&B at every `every`-th validation; 0 sends none.

    With `at_end` also those of the best checkpoint, once it is tested. Does nothing for a model without banks or a
    logger that takes no pictures, and never fails a run: what goes wrong is said once, and ends the pictures.
    """

    def __init__(self, every: int, at_end: bool = False) -> None:
        self.every, self.at_end, self.validations = every, at_end, 0

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Draw, where it is time."""
        self.validations += 1
        if self.every and not self.validations % self.every and not trainer.sanity_checking:
            self._send(trainer, module, f"step {trainer.global_step:,}")

    def on_test_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Draw what was tested."""
        if self.at_end:
            self._send(trainer, module, "best checkpoint")

    def _send(self, trainer: Trainer, module: LightningModule, title: str) -> None:
        takers = [logger for logger in trainer.loggers if hasattr(logger, "log_image")]
        if not takers:
            return
        try:
            for name, image in _pictures(module, title).items():
                for logger in takers:
                    logger.log_image(key=name, images=[image], step=trainer.global_step)
        except Exception as error:
            log.warning("no more pictures of the wavelets: %s: %s", type(error).__name__, error)
            self.every, self.at_end = 0, False


def _pictures(module: LightningModule, title: str) -> dict[str, np.ndarray]:
    """Return name -> picture, (height, width, 3) in uint8, of every bank."""
    from wise_lra.plots import banks, draw_functions, draw_responses, functions, pixels, responses

    found = {}
    for layer, (_, bank) in enumerate(banks(module), start=1):
        said = f"layer {layer} · {title}"
        found[f"wavelets/functions_layer{layer}"] = pixels(draw_functions({"now": functions(bank)}, said))
        found[f"wavelets/responses_layer{layer}"] = pixels(draw_responses({"now": responses(bank)}, said))
    return found
