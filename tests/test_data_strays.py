"""Oracle: the same files without what file managers, editors and links add; every reader, every kind of it."""

import codecs
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from upstream import ARCHIVES, FILES, TASKS, Files, pack, packed, plain, read, unpack

from wise_lra.data import sources
from wise_lra.data.task import reader


def beside(name: str, content: bytes) -> Callable[[Files], Files]:
    """Return what puts a file beside every file; "{}" in its name is that file's."""

    def add(files: Files) -> Files:
        places = (path.rpartition("/") for path in files)
        return {f"{above}{slash}{name.format(own)}": content for above, slash, own in places} | files

    return add


def within(change: Callable[[bytes], bytes]) -> Callable[[Files], Files]:
    """Return what changes every file of lines."""
    return lambda files: {
        name: change(content) if name.endswith((".tsv", "metadata/0.npy", ".txt")) else content
        for name, content in files.items()
    }


STRAYS = {
    "apple": beside("._{}", b"\0\5\x16\7\0\2\0\0Mac OS X"),
    "store": beside(".DS_Store", b"\0\0\0\1Bud1"),
    "thumbs": beside("Thumbs.db", b"\xd0\xcf\x11\xe0"),
    "desktop": beside("desktop.ini", b"[.ShellClassInfo]\r\n"),
    "hidden folder": lambda files: {f".Trash/{name}": b"\0" for name in files} | files,
    "zipped by a Mac": lambda files: {f"__MACOSX/._{name}": b"\0" for name in files} | files,
    "blank lines at the end": within(lambda content: content + b"\n\r\n  \n"),
    "CRLF": within(lambda content: content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")),
    "byte order mark": within(lambda content: codecs.BOM_UTF8 + content),
}


def found(task: str, place: Path) -> list:
    (data,) = [data for data in sources.find(place, TASKS[task]) if data.form == "release"]
    rejected: Counter[str] = Counter()
    examples = plain(read(reader(task), data.path, rejected))
    assert [reason for reason in rejected if not reason.startswith("empty file")] == []
    return sorted(examples)


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> dict[str, list]:
    return {task: found(task, unpack(tmp_path_factory.mktemp(task), FILES[task])) for task in TASKS}


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("stray", [*STRAYS])
@pytest.mark.parametrize("task", [*TASKS])
def test_strays_change_nothing(tmp_path, expected, task, stray, archived):
    files = STRAYS[stray](FILES[task])
    packed(tmp_path, task, files) if archived else unpack(tmp_path, files)
    assert found(task, tmp_path) == expected[task]


@pytest.mark.parametrize("task", ["listops", "retrieval"])
def test_blank_lines_between_others_change_nothing(tmp_path, expected, task):
    files = {name: content.replace(b"\n", b"\n \n\r\n") for name, content in FILES[task].items()}
    assert found(task, unpack(tmp_path, files)) == expected[task]


def link_folders(folder: Path, store: Path) -> None:
    for number, path in enumerate(sorted(folder.rglob("*"), reverse=True)):
        if path.is_dir():
            path.rename(store / str(number))
            path.symlink_to(store / str(number))


def link_files(folder: Path, store: Path) -> None:
    for number, path in enumerate(sorted(folder.rglob("*"))):
        if path.is_file():
            path.rename(store / str(number))
            path.symlink_to(store / str(number))


def link_loops(folder: Path, store: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            (path / "a loop").symlink_to(folder)
            (path / "itself").symlink_to("itself")
            (path / "nowhere").symlink_to("not there")


@pytest.mark.parametrize("link", [link_folders, link_files, link_loops])
@pytest.mark.parametrize("task", [*TASKS])
def test_links_are_followed(tmp_path, expected, task, link):
    (tmp_path / "store").mkdir()
    folder = unpack(tmp_path / "data", FILES[task])
    link(folder, tmp_path / "store")
    assert found(task, folder) == expected[task]
    (tmp_path / "linked").symlink_to(folder)
    assert found(task, tmp_path / "linked") == expected[task]


@pytest.mark.parametrize("task", ["text", "image"])
def test_a_link_of_another_name_is_known_by_what_it_points_to(tmp_path, expected, task):
    unpack(tmp_path, FILES[task])
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    (tmp_path / "mine").symlink_to(folder)
    assert found(task, tmp_path / "mine") == expected[task]


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("text", "aclImdb/\x1b[31m/train/neg/0_1.txt"),
        ("image", "cifar-10-batches-py/\x1b[31m/data_batch_1"),
        ("pathfinder", "pathfinder32/curv_contour_length_14/imgs/0/\x1b[31m.png"),
        ("listops", "\u202eats/basic_val.tsv"),
        ("retrieval", "\x9b31m/new_aan_pairs.eval.tsv"),
    ],
)
def test_a_name_that_a_terminal_would_act_on_is_refused(tmp_path, task, name):
    path = pack(tmp_path / ARCHIVES[task], {name.removeprefix("pathfinder32/"): b"x"} | FILES[task])
    with pytest.raises(ValueError, match=r"x1b|u202e|x9b") as error:
        read(reader(task), path)
    assert str(error.value).isprintable()


def test_the_name_of_an_archive_is_refused_likewise(tmp_path):
    shutil.move(pack(tmp_path / "aclImdb_v1.tar.gz", {}), tmp_path / "aclImdb\x1b[2J.tar.gz")
    with pytest.raises(ValueError, match=r"x1b|u202e|x9b") as error:
        sources.find(tmp_path, TASKS["text"])
    assert str(error.value).isprintable()
