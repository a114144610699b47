"""ListOps against a direct transcription of its definition, hand-made expressions, and LRA's file format."""

import random
import statistics

import numpy as np
import pytest
from scipy import stats
from upstream import read

from wise_lra.data import listops
from wise_lra.data.task import SPLITS

SMALL = {"min_length": 10, "max_length": 64, "max_depth": 4}
LRA = {key: value for key, value in listops.DEFAULTS.items() if key not in SPLITS}
APPLY = {
    "[MIN": min,
    "[MAX": max,
    "[MED": lambda values: int(np.median(values)),
    "[SM": lambda values: sum(values) % 10,
}


def grow(draw: random.Random, depth: int, max_depth: int, max_args: int) -> tuple[str, int, int, int]:
    """The definition, as plainly as it can be said: (source, length, value, nesting) of one tree."""
    if depth == max_depth or draw.random() > 0.25:
        digit = draw.randrange(10)
        return str(digit), 1, digit, 0
    arguments = [grow(draw, depth + 1, max_depth, max_args) for _ in range(draw.randint(2, max_args))]
    operator = draw.choice(list(APPLY))
    source = operator
    for argument in arguments:
        source = f"( {source} {argument[0]} )"
    value = APPLY[operator]([argument[2] for argument in arguments])
    length = 2 + sum(argument[1] for argument in arguments)
    return f"( {source} ] )", length, value, 1 + max(argument[3] for argument in arguments)


def facts(source: str) -> tuple[int, int, str]:
    """(length, nesting, root operator) of a source."""
    tokens = [token for token in source.split() if token not in "()"]
    nesting = np.cumsum([token.startswith("[") - (token == "]") for token in tokens]).max()
    return len(tokens), int(nesting), tokens[0]


def shape(source: str) -> list[float]:
    """Of a source's operators: how many, mean number of arguments, mean depth, and how many of each kind."""
    names, arguments, depths, open_ones = [], [], [], []
    for token in source.replace("(", "").replace(")", "").split():
        if token.startswith("["):
            open_ones.append([token, 0])
            continue
        if token == "]":
            name, count = open_ones.pop()
            names.append(name)
            arguments.append(count)
            depths.append(len(open_ones) + 1)
        if open_ones:
            open_ones[-1][1] += 1
    of_each = [names.count(name) for name in APPLY]
    return [len(names), statistics.mean(arguments), statistics.mean(depths), *of_each]


def defined(count: int, seed: int, options: dict[str, int]) -> list[tuple[str, int, int, int]]:
    """The first `count` trees of the definition whose length is within the limits."""
    limits = {"min_length": 500, "max_length": 2000, "max_depth": 10, "max_args": 10} | options
    draw, kept = random.Random(seed), []
    while len(kept) < count:
        tree = grow(draw, 1, limits["max_depth"], limits["max_args"])
        if limits["min_length"] < tree[1] < limits["max_length"]:
            kept.append(tree)
    return kept


def differences(ours: list[str], theirs: list[str]) -> list[float]:
    """Two-sample probabilities (Kolmogorov and Smirnov) of the length and of each number of `shape`."""
    columns = [
        zip(*([facts(tree)[0], *shape(tree)] for tree in trees), strict=True) for trees in (ours, theirs)
    ]
    return [float(stats.ks_2samp(*pair).pvalue) for pair in zip(*columns, strict=True)]


@pytest.mark.parametrize(
    ("options", "count"),
    [(SMALL, 4000), ({"max_length": 400, "min_length": 60, "max_depth": 6, "max_args": 5}, 800), ({}, 400)],
)
def test_generated_trees_follow_the_definition(options, count):
    expected = defined(count, 1, options)
    ours = listops.generate(count, 1, **options)
    assert min(differences([tree for tree, _ in ours], [tree[0] for tree in expected])) > 1e-4
    pairs = [[(*facts(tree)[1:], value) for tree, value in ours]]  # nesting, root operator, value
    pairs.append([(*facts(tree[0])[1:], tree[2]) for tree in expected])
    for column in range(3):
        kinds = sorted({row[column] for rows in pairs for row in rows})
        table = [[sum(row[column] == kind for row in rows) for kind in kinds] for rows in pairs]
        assert len(kinds) == 1 or stats.chi2_contingency(table).pvalue > 1e-4, (column, table)


@pytest.mark.parametrize("change", [{"max_args": 8}, {"max_depth": 3}, {"min_length": 14}])
def test_the_comparison_would_notice_other_settings(change):
    expected = [tree[0] for tree in defined(2000, 2, SMALL)]
    ours = [tree for tree, _ in listops.generate(2000, 2, **SMALL | change)]
    assert min(differences(ours, expected)) < 1e-4


def test_every_line_evaluates_to_its_target():
    examples = listops.generate(400, 0)
    assert [listops.evaluate(source) for source, _ in examples] == [target for _, target in examples]
    assert all(listops.decode(listops.encode(source)) == source for source, _ in examples)


def test_lengths_lie_strictly_between_the_limits_and_reach_them():
    lengths = {facts(source)[0] for source, _ in listops.generate(3000, 0, min_length=10, max_length=20)}
    assert lengths == set(range(11, 20))


def test_labels_have_the_known_shares():
    """At LRA's settings 0 is .170 and 9 is .167 to .171 of the labels, every other .07 to .095."""
    labels = [example.label for example in listops.examples(10_000, 0, 0, 5, **LRA)]
    shares = np.bincount(labels) / len(labels)
    assert shares[[0, 9]] == pytest.approx([0.170, 0.169], abs=0.015)
    assert (shares[1:9] > 0.065).all()
    assert (shares[1:9] < 0.1).all()


def test_same_arguments_same_list_other_seed_other_list():
    first = listops.generate(200, 3, **SMALL)
    assert first == listops.generate(200, 3, **SMALL)
    assert first != listops.generate(200, 4, **SMALL)


def test_splits_share_no_tree_and_come_in_full():
    examples = list(listops.examples(2000, 200, 300, 0, **SMALL, max_args=10))
    assert [sum(example.split == split for example in examples) for split in SPLITS] == [2000, 200, 300]
    assert len({example.documents[0].tobytes() for example in examples}) == 2500
    for example in examples[::50]:
        assert example.documents[0].dtype == np.uint8
        assert listops.evaluate(listops.decode(example.documents[0])) == example.label


def test_common_trees_are_not_drawn_into_the_first_split():
    """Where trees are few, short ones are found first: the order must hide it."""
    examples = listops.examples(3000, 0, 3000, 0, **LRA | {"min_length": 1, "max_length": 8})
    length = {split: [] for split in SPLITS}
    for example in examples:
        length[example.split].append(example.documents[0].size)
    assert statistics.mean(length["train"]) == pytest.approx(statistics.mean(length["test"]), abs=0.1)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("7", 7),
        ("( ( ( [MIN 3 ) 4 ) ] )", 3),
        ("( ( ( [MAX 3 ) 4 ) ] )", 4),
        ("( ( ( [MED 3 ) 4 ) ] )", 3),
        ("( ( ( ( [MED 9 ) 1 ) 5 ) ] )", 5),
        ("( ( ( ( [SM 9 ) 8 ) 7 ) ] )", 4),
        ("( ( ( [SM ( ( ( [MAX 2 ) 9 ) ] ) ) ( ( ( [MED 0 ) 5 ) ] ) ) ] )", 1),
    ],
)
def test_evaluate_and_decode_expressions_worked_out_by_hand(source, value):
    assert listops.evaluate(source) == value
    assert listops.decode(listops.encode(source)) == source


@pytest.mark.parametrize(
    "source",
    [
        "",
        "( 3 4 )",
        "( ( [MIN 3 ) 4 )",
        "( [MIN 3",
        "3 4",
        ")",
        "( ( [MIN ] ) 3 )",
        "( ( ( [MIN 3 ) ] ) ] )",
        "x",
    ],
)
def test_evaluate_refuses_what_is_no_expression(source):
    with pytest.raises(ValueError, match=r"[()\[\]]|items"):
        listops.evaluate(source)


@pytest.mark.parametrize("ids", [[], [0], [16], [1], [5], [1, 5], [6, 6], [1, 6, 7], [1, 6, 5, 6]])
def test_decode_refuses_what_is_no_tree(ids):
    with pytest.raises(ValueError, match=r"expected|closes no|not closed"):
        listops.decode(ids)


def test_vocabulary_is_fixed():
    assert listops.TOKENS[1:6] == ("[MIN", "[MAX", "[MED", "[SM", "]")
    assert listops.encode("( ( ( [MIN 0 ) 9 ) ] )").tolist() == [1, 6, 15, 5]
    with pytest.raises(ValueError, match=r"\[FIRST"):
        listops.encode("( ( [FIRST 0 ) ] )")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_args": 1}, "max_args=1"),
        ({"max_depth": 0}, "max_depth=0"),
        ({"min_length": 9, "max_length": 10}, "min_length=9"),
        ({"min_length": 0, "max_length": 3}, "only 10 of 50 different trees"),
        ({"min_length": 60, "max_length": 90, "max_depth": 2}, "only 0 of 50"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        listops.generate(50, 0, **options)


@pytest.fixture
def release(tmp_path):
    """LRA's three files with 30, 5 and 5 lines, as csv.writer leaves them: CRLF."""
    examples = listops.generate(40, 0, **SMALL)
    for name, rows in (("train", examples[:30]), ("val", examples[30:35]), ("test", examples[35:])):
        text = "".join(f"{source}\t{target}\r\n" for source, target in [("Source", "Target"), *rows])
        (tmp_path / f"basic_{name}.tsv").write_bytes(text.encode())
    return tmp_path, examples


def test_read_gives_back_what_was_written(release):
    folder, examples = release
    found = sorted(read(listops, folder), key=lambda example: SPLITS.index(example.split))
    assert [example.split for example in found] == ["train"] * 30 + ["validation"] * 5 + ["test"] * 5
    assert [(listops.decode(example.documents[0]), example.label) for example in found] == examples


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"( ( ( [MIN 3 ) 4 ) ] )\t4\r\n", "evaluates to 3"),
        (b"( ( ( [MIN 3 ) 4 ) ] )\t12\r\n", "target '12'"),
        (b"( ( ( [MIN 3 ) 4 ) ] )\r\n", "1 columns"),
        (b"( ( ( [MIN 3 ) 4 ) ]\t3\r\n", "left over"),
        (b"( ( ( [TOP 3 ) 4 ) ] )\t3\r\n", r"unknown token '\[TOP'"),
        (b"( ( ( [MIN 3 ) \xff ) ] )\t3\r\n", "byte 0xff in column 16"),
        (b"\x1b[31m\t1\r\n", r"unknown token '\\x1b\[31m'"),
    ],
)
def test_read_names_file_line_and_reason(release, line, reason):
    folder, _ = release
    with (folder / "basic_val.tsv").open("ab") as file:
        file.write(line)
    with pytest.raises(ValueError, match=rf"(?s)1 of 7 .*basic_val\.tsv:7: .*{reason}"):
        read(listops, folder)


def test_read_counts_all_faulty_lines_but_quotes_few(release):
    folder, _ = release
    with (folder / "basic_test.tsv").open("ab") as file:
        file.write(b"x\t1\r\n" * 9)
    with pytest.raises(ValueError, match="9 of 15 ") as caught:
        read(listops, folder)
    assert str(caught.value).count("unknown token") == 5


def test_read_refuses_missing_empty_and_headless_files(release):
    folder, _ = release
    path = folder / "basic_test.tsv"
    path.write_bytes(path.read_bytes().split(b"\r\n", 1)[1])
    with pytest.raises(ValueError, match=r"basic_test\.tsv:1: .*Source<tab>Target"):
        read(listops, folder)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"basic_test\.tsv: .*Source<tab>Target"):
        read(listops, folder)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"basic_test\.tsv"):
        read(listops, folder)
