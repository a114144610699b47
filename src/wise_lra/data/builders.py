"""The data store: the examples of a task from one source, as a data set of TensorFlow Datasets (TFDS).

A data set lies in <folder>/lra_<task>/<source>/<version>/ as array_record files, with splits, features, citation
and what was left out, and is written and read without TensorFlow. TFDS' own imdb_reviews and cifar10 and LRA's
pathfinder<size>, in array_record or TFRecord files, are read as well.
"""

import logging
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource
from tensorflow_datasets.core.dataset_builder import FileReaderBuilder

from wise_lra.data.sources import VERSION
from wise_lra.data.task import SPLITS, Example, Task, reader
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

    def __init__(self, task: Task, folder: Path, config: str, description: str) -> None:
        """Make the builder lra_<task> of a task in a folder of TFDS; `config` names the source."""
        self.task, self.name = task, f"lra_{task.name}"
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
        task = reader(self.task.name)
        kind = np.uint8 if self.task.vocabulary <= 256 else np.uint16
        tokens = tfds.features.Tensor(shape=(None,), dtype=kind, encoding="bytes")
        label = tfds.features.ClassLabel(num_classes=self.task.classes)
        features = {**dict.fromkeys(_columns(self.task), tokens), "label": label}
        return tfds.core.DatasetInfo(
            builder=self,
            description=task.__doc__,
            features=tfds.features.FeaturesDict(features),
            homepage=getattr(task, "HOMEPAGE", "https://github.com/google-research/long-range-arena"),
            citation=getattr(task, "CITATION", _LRA),
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


def read(path: Path, task: Task, rejected: Counter[str], **settings: Any) -> Iterator[Example]:
    """Yield the examples of a directory, ours in the order in which they were written.

    Those of TFDS' users are read with the settings of the task's reader, by its `from_tfds`. `rejected` counts what
    is left out, and what was when ours was written. Raises ValueError if a split or a file is missing or broken,
    and as the task's own reader does.
    """
    try:
        data = _Directory(path)
        if data.builder.name != f"lra_{task.name}":
            yield from reader(task.name).from_tfds(data, rejected, **settings)
            return
        rejected.update(data.builder.info.metadata["rejected"])
        for split in SPLITS:
            for row in data.rows(split):
                yield Example(split, tuple(row[column] for column in _columns(task)), int(row["label"]))
    except Exception as error:  # what TFDS and its formats raise on a broken file is without limit
        own = str(path) in (reason := one_line(error))
        raise ValueError(reason if own else f"{path}: cannot be read ({reason}); prepare it again") from error


class _Directory:
    """One version of a data set."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.builder = tfds.builder_from_directory(str(path))

    def count(self, split: str) -> int:
        """Return the number of rows of a split. Raises ValueError if there is no such split."""
        if split not in (splits := self.builder.info.splits):
            raise ValueError(f"{self.path}: no split {split!r}, expected one beside {[*splits]}")
        return int(splits[split].num_examples)

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a split, images as they are encoded, for TFDS would decode any size."""
        done, count, features = 0, self.count(split), self.builder.info.features
        decoders = {"image": tfds.decode.SkipDecoding()} if "image" in features else {}
        for file in map(Path, self.builder.info.splits[split].filepaths):
            if not file.is_file():
                raise ValueError(f"{file}: not found; the directory is not whole")
            for record in _array_records(file) if ".array_record" in file.name else _tfrecords(file):
                done += 1
                yield features.deserialize_example_np(record, decoders=decoders)
        if done != count:
            raise ValueError(f"{self.path}: {done} examples of {split}, expected {count}; prepare it again")


def _columns(task: Task) -> list[str]:
    """Return the names of the documents in a row."""
    return ["tokens"] if task.documents == 1 else [f"tokens{n + 1}" for n in range(task.documents)]


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
