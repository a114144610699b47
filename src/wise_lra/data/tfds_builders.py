"""The five tasks as builders of TensorFlow Datasets: array_record files and no TensorFlow.

They read what lies on disk already, by the project's readers, and download nothing. imdb_reviews and cifar10 have
the names, features and order of TFDS' own, whose builders need TensorFlow. What they write, `tfds_directory` reads.
"""

import io
import logging
import tempfile
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from wise_lra.data import image, listops, pathfinder_release, retrieval, text, tfds_directory
from wise_lra.data.packed import left_out
from wise_lra.data.task import Task

log = logging.getLogger(__name__)

Rows = Iterator[tuple[Any, dict[str, Any]]]

_LRA = """@inproceedings{tay2021long,
  title={Long Range Arena: A Benchmark for Efficient Transformers},
  author={Tay, Yi and Dehghani, Mostafa and Abnar, Samira and Shen, Yikang and Bahri, Dara and Pham, Philip and
          Rao, Jinfeng and Yang, Liu and Ruder, Sebastian and Metzler, Donald},
  booktitle={International Conference on Learning Representations},
  year={2021}
}"""


class _Builder(tfds.core.GeneratorBasedBuilder):
    """A builder over data that lie at `path`: an archive or a folder, as the task's reader takes it."""

    VERSION = tfds.core.Version("1.0.0")
    SPLITS: tuple[str, ...] = ("train", "validation", "test")
    HOMEPAGE = "https://github.com/google-research/long-range-arena"
    CITATION = _LRA

    def __init__(self, path: Path, **options: Any) -> None:
        self.path, self.rejected = path, Counter[str]()
        super().__init__(file_format="array_record", **options)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__ or "",
            features=tfds.features.FeaturesDict(self._features()),
            homepage=self.HOMEPAGE,
            citation=self.CITATION,
        )

    @abstractmethod
    def _features(self) -> dict[str, Any]:
        """Return the features of a row."""

    def _split_generators(self, dl_manager: Any) -> dict[str, Rows]:
        return {split: self._generate_examples(split) for split in self.SPLITS}


class LraListops(_Builder):
    """LRA's ListOps: nested operations on lists of digits, every target recomputed."""

    def _features(self) -> dict[str, Any]:
        return {"source": tfds.features.Text(), "target": tfds.features.ClassLabel(num_classes=10)}

    def _generate_examples(self, split: str) -> Rows:
        for key, example in enumerate(listops.read(self.path)):
            if example.split == split:
                yield key, {"source": listops.decode(example.documents[0].tolist()), "target": example.label}


class LraRetrieval(_Builder):
    """LRA's Retrieval: two scientific articles, and whether one cites the other; unreadable lines are left out."""

    def _features(self) -> dict[str, Any]:
        return {
            "label": tfds.features.ClassLabel(num_classes=2),
            **{name: tfds.features.Text() for name in ("id1", "id2", "text1", "text2")},
        }

    def _generate_examples(self, split: str) -> Rows:
        for key, (found, fields) in enumerate(retrieval.pairs(self.path)):
            if found != split:
                continue
            try:
                label = retrieval.example(split, fields, retrieval.KEPT).label
            except ValueError as error:
                self.rejected[str(error)] += 1
            else:
                names = ("id1", "id2", "text1", "text2")
                yield key, {"label": label, **dict(zip(names, fields[1:], strict=True))}


class ImdbReviews(_Builder):
    """IMDB film reviews, positive or negative; without the unlabelled half."""

    BUILDER_CONFIGS: ClassVar = [tfds.core.BuilderConfig(name="plain_text", description="Plain text")]

    SPLITS = ("train", "test")
    HOMEPAGE = "http://ai.stanford.edu/~amaas/data/sentiment/"
    CITATION = """@inproceedings{maas2011learning,
  title={Learning Word Vectors for Sentiment Analysis},
  author={Maas, Andrew L. and Daly, Raymond E. and Pham, Peter T. and Huang, Dan and
          Ng, Andrew Y. and Potts, Christopher},
  booktitle={Proceedings of ACL-HLT},
  pages={142--150},
  year={2011}
}"""

    def _features(self) -> dict[str, Any]:
        return {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(names=text.CLASSES)}

    def _generate_examples(self, split: str) -> Rows:
        rejected = self.rejected if split == "train" else Counter[str]()  # the same ones for both
        for key, (review, label) in enumerate(text.reviews(self.path, rejected)[split]):
            yield key, {"text": review, "label": label}


class Cifar10(_Builder):
    """CIFAR-10 in colour, with the keys of TFDS' own builder, and so in its order."""

    VERSION = tfds.core.Version("3.0.2")

    SPLITS = ("train", "test")
    HOMEPAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
    CITATION = """@techreport{krizhevsky2009learning,
  title={Learning multiple layers of features from tiny images},
  author={Krizhevsky, Alex},
  institution={University of Toronto},
  year={2009}
}"""

    def _features(self) -> dict[str, Any]:
        return {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(shape=(32, 32, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=image.CLASSES),
        }

    def _generate_examples(self, split: str) -> Rows:
        batches = image.batches(self.path)
        key = 0
        for file in image.BATCHES if split == "train" else (image.TEST,):
            for pixels, label in zip(*batches[file], strict=True):
                png = io.BytesIO()
                colours = np.ascontiguousarray(pixels.reshape(3, 32, 32).transpose(1, 2, 0))
                Image.fromarray(colours).save(png, "PNG")
                png.seek(0)
                yield key, {"id": f"{split}_{key:05d}", "image": png, "label": int(label)}
                key += 1


class _Pathfinder(_Builder):
    """LRA's Pathfinder, hard: do two marked ends belong to one dashed contour? Empty images are left out."""

    SPLITS = ("hard",)

    @property
    @abstractmethod
    def size(self) -> int:
        """Side of the images, in pixels."""

    def _features(self) -> dict[str, Any]:
        return {
            "image": tfds.features.Image(shape=(self.size, self.size, 1), encoding_format="png"),
            "label": tfds.features.ClassLabel(num_classes=2),
        }

    def _generate_examples(self, split: str) -> Rows:
        with tempfile.TemporaryFile() as store:
            kept = pathfinder_release.Kept(self.path, self.size, store)
            for name, label, key in kept.listed():
                if content := kept.content(name):
                    pathfinder_release.pixels(self.path / name, content, self.size)
                    yield key, {"image": io.BytesIO(content), "label": label}
                else:
                    self.rejected["empty file"] += 1


class Pathfinder32(_Pathfinder):
    """LRA's Pathfinder, hard, of 32 x 32 pixels."""

    size = 32


class Pathfinder64(_Pathfinder):
    """LRA's Pathfinder, hard, of 64 x 64 pixels."""

    size = 64


class Pathfinder128(_Pathfinder):
    """LRA's Pathfinder, hard, of 128 x 128 pixels: Path-X."""

    size = 128


class Pathfinder256(_Pathfinder):
    """LRA's Pathfinder, hard, of 256 x 256 pixels."""

    size = 256


_BUILDERS = (
    LraListops,
    LraRetrieval,
    ImdbReviews,
    Cifar10,
    Pathfinder32,
    Pathfinder64,
    Pathfinder128,
    Pathfinder256,
)
BUILDERS = {builder.name: builder for builder in _BUILDERS}
"""Of every data set, by the name that TFDS has for it: see `tfds_directory.name`."""


def build(task: Task, path: Path, folder: Path) -> Path:
    """Write the data of a task, which lie at `path`, into a folder of TFDS; return the directory made there.

    Raises ValueError if the size of Pathfinder's images is none of LRA's, and as the task's own reader does.
    """
    if (name := tfds_directory.name(task)) not in BUILDERS:
        raise ValueError(
            f"task.length={task.length}: {name} is unknown, expected one of {', '.join(BUILDERS)}"
        )
    builder = BUILDERS[name](path, data_dir=str(folder))
    builder.download_and_prepare()
    if builder.rejected:
        log.warning("%s: %s", name, left_out(builder.rejected))
    return Path(builder.data_path)
