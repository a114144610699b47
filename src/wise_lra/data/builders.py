"""The data store: the examples of a task from one source, as a data set of TensorFlow Datasets (TFDS).

A data set lies in <folder>/lra_<task>/<source>/<version>/ as array_record files, with splits, features, citation
and what was left out, and is written and read without TensorFlow. TFDS' own imdb_reviews and cifar10 and LRA's
pathfinder<size>, in array_record or TFRecord files, are read as well.
"""

import logging
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource
from tensorflow_datasets.core.dataset_builder import FileReaderBuilder

from wise_lra.data import image, pathfinder_release, text
from wise_lra.data.download import Progress, silent
from wise_lra.data.sources import VERSION
from wise_lra.data.task import SPLITS, Example, Task
from wise_lra.results.reading import one_line

logging.getLogger("absl").setLevel(logging.ERROR)  # TFDS warns of every configuration that it does not know

_ROWS = 1000  # written or read together
_SHARD = 1 << 15  # examples in a file
_LARGEST = 1 << 25  # bytes of a TFRecord
_LRA = """@inproceedings{tay2021long,
  title={Long Range Arena: A Benchmark for Efficient Transformers},
  author={Tay, Yi and Dehghani, Mostafa and Abnar, Samira and Shen, Yikang and Bahri, Dara and Pham, Philip and
          Rao, Jinfeng and Yang, Liu and Ruder, Sebastian and Metzler, Donald},
  booktitle={International Conference on Learning Representations},
  year={2021}
}"""


class Builder(FileReaderBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writes a stream of examples of a task, one at a time in memory, in the order in which they come.

    A row has the class as `label` and the token ids of each document as `tokens` (or `tokens1` and `tokens2`).
    TFDS' own GeneratorBasedBuilder reads a source once a split and shuffles, with TensorFlow where a split has more
    than a gigabyte.
    """

    VERSION = tfds.core.Version(VERSION)
    HOMEPAGE = "https://github.com/google-research/long-range-arena"
    CITATION = _LRA

    def __init__(self, task: Task, folder: Path, config: str, description: str) -> None:
        """Make a builder of the data set of a task in a folder of TFDS; `config` names the source."""
        self.task = task
        self.examples: Iterable[Example] = ()
        self.facts: dict[str, Any] = {}
        source = tfds.core.BuilderConfig(name=config, description=description)
        super().__init__(data_dir=str(folder), config=source, file_format="array_record")

    def build(self, examples: Iterable[Example], facts: dict[str, Any]) -> Path:
        """Write examples, and then the facts, as metadata; return the directory, which appears when it is whole."""
        self.examples, self.facts = examples, facts
        folder = self.data_dir_root  # for downloads, which are none, so that no folders are made for them
        config = tfds.download.DownloadConfig(extract_dir=folder)
        self.download_and_prepare(download_dir=folder, download_config=config)
        return Path(self.data_dir)

    def _info(self) -> tfds.core.DatasetInfo:
        kind = np.uint8 if self.task.vocabulary <= 256 else np.uint16
        tokens = tfds.features.Tensor(shape=(None,), dtype=kind, encoding="bytes")
        label = tfds.features.ClassLabel(num_classes=self.task.classes)
        features = {**dict.fromkeys(_columns(self.task), tokens), "label": label}
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__ or "",
            features=tfds.features.FeaturesDict(features),
            homepage=self.HOMEPAGE,
            citation=self.CITATION,
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _download_and_prepare(self, dl_manager: Any, download_config: Any = None) -> None:
        info = self._info()  # of the folder that TFDS renames when all is written
        writer = tfds.core.SequentialWriter(info, _SHARD, file_format="array_record")
        writer.initialize_splits([*SPLITS])
        examples = iter(self.examples)
        while some := [*islice(examples, _ROWS)]:
            rows: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
            for split, documents, label in some:
                columns = zip(_columns(self.task), documents, strict=True)
                rows[split].append({**dict(columns), "label": label})
            writer.add_examples(rows)
        writer.close_all()
        self.info.set_splits(info.splits)
        self.info.metadata.update(self.facts)

    def _log_download_bytes(self) -> None:
        """Print nothing: the caller shows progress."""

    _log_download_done = _log_download_bytes


class LraListops(Builder):
    """LRA's ListOps: nested operations on lists of digits; a token is a digit, an operator or a bracket."""


class LraText(Builder):
    """LRA's Text: IMDB film reviews byte by byte, positive or negative; a token is a byte plus one."""

    HOMEPAGE = "http://ai.stanford.edu/~amaas/data/sentiment/"
    CITATION = """@inproceedings{maas2011learning,
  title={Learning Word Vectors for Sentiment Analysis},
  author={Maas, Andrew L. and Daly, Raymond E. and Pham, Peter T. and Huang, Dan and
          Ng, Andrew Y. and Potts, Christopher},
  booktitle={Proceedings of ACL-HLT},
  pages={142--150},
  year={2011}
}"""


class LraRetrieval(Builder):
    """LRA's Retrieval: two scientific articles byte by byte, and whether one cites the other."""


class LraImage(Builder):
    """LRA's Image: CIFAR-10 in grey, pixel by pixel, in ten classes; a token is an intensity."""

    HOMEPAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
    CITATION = """@techreport{krizhevsky2009learning,
  title={Learning multiple layers of features from tiny images},
  author={Krizhevsky, Alex},
  institution={University of Toronto},
  year={2009}
}"""


class LraPathfinder(Builder):
    """LRA's Pathfinder: do two marked ends belong to one dashed contour? A token is an intensity."""


BUILDERS: dict[str, type[Builder]] = {
    "listops": LraListops,
    "text": LraText,
    "retrieval": LraRetrieval,
    "image": LraImage,
    "pathfinder": LraPathfinder,
}


def read(
    path: Path,
    task: Task,
    rejected: Counter[str],
    progress: Progress = silent,
    limit: int = text.LENGTH,
    protocol: str = "held-out",
    size: int = 32,
) -> Iterator[Example]:
    """Yield the examples of a directory, ours in the order in which they were written.

    Those of imdb_reviews, cifar10 and pathfinder<size> are cut into splits as their archives' are, by `limit`,
    `protocol` and `size`. Of Text, whose numbers TFDS does not keep, other reviews validate than from the archive:
    every tenth of a class in TFDS' order. `rejected` counts what is left out, and what was when it was written.
    Raises ValueError if a split or a file is missing or broken, and as the task's own reader does.
    """
    try:
        builder = tfds.builder_from_directory(str(path))
        if builder.name == f"lra_{task.name}":
            rejected.update(builder.info.metadata["rejected"])
            for split in SPLITS:
                for row in _rows(builder, split, progress):
                    documents = tuple(row[column] for column in _columns(task))
                    yield Example(split, documents, int(row["label"]))
        elif task.name == "text":
            for split in ("train", "test"):
                reviews = (
                    (row["text"].strip(), int(row["label"])) for row in _rows(builder, split, progress)
                )
                yield from text.divided(split, reviews, rejected, limit, protocol)
        elif task.name == "image":
            for split in ("train", "test"):
                opened = partial(pathfinder_release.pixels, path, size=32, modes=("RGB",))
                images = (
                    (image.grey(opened(row["image"]).transpose(2, 0, 1).reshape(1, 3, -1))[0], row["label"])
                    for row in _rows(builder, split, progress)
                )
                yield from image.divided(split, images, builder.info.splits[split].num_examples)
        else:
            opened = partial(pathfinder_release.pixels, path, size=size, modes=("L", "RGB"))
            images = (
                (opened(row["image"]).reshape(size, size, -1)[..., 0], int(row["label"]))
                for row in _rows(builder, "hard", progress)
            )
            yield from pathfinder_release.divided(images, builder.info.splits["hard"].num_examples)
    except Exception as error:  # what TFDS and its formats raise on a broken file is without limit
        own = str(path) in (reason := one_line(error))
        raise ValueError(reason if own else f"{path}: cannot be read ({reason}); prepare it again") from error


def _columns(task: Task) -> list[str]:
    """Return the names of the documents in a row."""
    return ["tokens"] if task.documents == 1 else [f"tokens{n + 1}" for n in range(task.documents)]


def _rows(builder: Any, split: str, progress: Progress) -> Iterator[dict[str, Any]]:
    """Yield the rows of a split, images as they are encoded, for TFDS would decode any size."""
    splits, features = builder.info.splits, builder.info.features
    if split not in splits:
        raise ValueError(f"{builder.data_dir}: no split {split!r}, expected one beside {[*splits]}")
    decoders = {"image": tfds.decode.SkipDecoding()} if "image" in features else {}
    done, count = 0, splits[split].num_examples
    for file in map(Path, splits[split].filepaths):
        if not file.is_file():
            raise ValueError(f"{file}: not found; the directory is not whole")
        for record in _array_records(file) if ".array_record" in file.name else _tfrecords(file):
            done += 1
            if done % _ROWS == 0:
                progress(f"decoding {split} of {builder.name}", done, count)
            yield features.deserialize_example_np(record, decoders=decoders)
    if done != count:
        raise ValueError(
            f"{builder.data_dir}: {done} examples of {split}, expected {count}; prepare it again"
        )


def _array_records(file: Path) -> Iterator[bytes]:
    source = ArrayRecordDataSource([str(file)])
    for start in range(0, len(source), _ROWS):
        yield from source.__getitems__(range(start, min(start + _ROWS, len(source))))


def _tfrecords(file: Path) -> Iterator[bytes]:
    """Yield records: each is its length (8 bytes), the checksum of that (4), the record, and its checksum (4)."""
    with file.open("rb") as content:
        while head := content.read(12):
            length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else 0
            record = content.read(min(length, _LARGEST))
            if len(head) != 12 or len(record) != length or len(content.read(4)) != 4:
                raise ValueError(f"{file}: broken off; fetch or prepare it again")
            yield record
