"""Oracle: a page worked by hand from two seeds of five tasks and LRA's printed row."""

import csv
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_results_record import changed, make

from wise_lra.registry import TASKS, main_rows
from wise_lra.results import latex, markdown, spreadsheet
from wise_lra.results import text as plain
from wise_lra.results.published import Published
from wise_lra.results.record import Record
from wise_lra.results.tables import Table, build, build_all

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- table:begin -->", "<!-- table:end -->"
PRINTED = dict(zip(TASKS, (0.3637, 0.6427, 0.5746, 0.4244, 0.7140), strict=True))
NUMBERS = {("vanilla", "softmax", task): Published(share, "lra-readme") for task, share in PRINTED.items()}


def run(task: str, accuracy: float, **changes: Any) -> Record:
    return make(task=task, **(changed("metrics", test_accuracy=accuracy) | changes))


def five(accuracy: float, **changes: Any) -> list[Record]:
    return [run(task, accuracy, **changes) for task in TASKS]


def texts(table: Table) -> dict[str, tuple[str, ...]]:
    """Return the printed texts by label; published and difference are those of the last row that has them."""
    return {line.label: tuple(line.texts) for line in plain.lines(table)}


def notes(table: Table, word: str) -> list[str]:
    return [note for note in plain.notes(table) if word in note]


# vanilla: 70 % and 74 % on each task, mean 72, t(1) = 12.7062, s = 2.8284: half-width 25.41; on average five
# equal ones in quadrature: 25.41 / sqrt(5) = 11.36. No FAIL: Wilson's lower bound of 72 of 100 is 62.51.
# fnet: 55 of 100 is [45.24, 64.38], FAIL; wise_fixed: 80 of 100 is [71.117, 86.66], its larger side 8.88.
EXPECTED = """\
|  | listops | text | retrieval | image | pathfinder | average |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| majority class | 50.00 | 50.00 | 50.00 | 50.00 | 50.00 | 50.00 |
| vanilla | **72.00 ± 25.41** | 72.00 ± 25.41 | **72.00 ± 25.41** \
| **72.00 ± 25.41** | **72.00 ± 25.41** | **72.00 ± 11.36** |
| published | 36.37 | 64.27 | 57.46 | 42.44 | 71.40 | 54.39 |
| difference | +35.63 ± 25.41 | +7.73 ± 25.41 | +14.54 ± 25.41 \
| +29.56 ± 25.41 | +0.60 ± 25.41 | +17.61 ± 11.36 |
| fnet | FAIL \\[55.00 ± 9.76 (n=1)\\] | — | — | — | — | — |
| wise_fixed | — | **80.00 ± 8.88 (n=1)** | — | — | — | — |
| wise_adaptive | — | — | — | — | — | — |
"""


def page() -> Table:
    records = [*five(0.70), *five(0.74, seed=1)]
    records += [run("listops", 0.55, backbone="fnet", attention="none")]
    records += [run("text", 0.80, backbone="wise_fixed")]
    records += [run("text", 0.99, backbone="wise_adaptive", dirty=True)]
    return build(records, NUMBERS, "quick")


def test_the_page_worked_by_hand() -> None:
    assert EXPECTED in markdown.page([page()])
    assert EXPECTED in markdown.block([page()], "results/TABLE.md")
    assert page().seeds == [2, 1], "vanilla's five tasks and average; then fnet, wise_fixed"
    assert notes(page(), "n=2 seeds unless")
    assert notes(build([*five(0.70), *five(0.74, seed=1)], NUMBERS, "quick"), "n=2 seeds in every cell")
    extras = [
        r for name in ("wise_lifting", "wise_orthogonal", "fnet_prenorm") for r in five(0.7, backbone=name)
    ]
    assert build([*five(0.70), *five(0.74, seed=1), *extras], {}, "quick").seeds == [2, 1], (
        "the main rows decide"
    )


def test_a_grid_with_holes_names_them() -> None:
    rows = [backbone for backbone, _ in main_rows()]
    records = [
        run(task, 0.7, backbone=backbone, attention=attention)
        for task in ("text", "image", "listops")
        for backbone, attention in main_rows()
        if (task, backbone) not in (("listops", "wise_adaptive"), ("image", "fnet"))
    ]
    table = build(records, NUMBERS, "quick")
    assert list(table.missing.items()) == [
        *(("listops", ["wise_adaptive"]), ("retrieval", rows), ("image", ["fnet"]), ("pathfinder", rows))
    ]
    assert notes(table, "listops (wise_adaptive); retrieval; image (fnet); pathfinder.")
    assert notes(table, "n=1 seed in every cell")
    assert {texts(table)[name][-1] for name in rows} == {"—"}, "an average is of five tasks"
    full = build([r for b, a in main_rows() for r in five(0.7, backbone=b, attention=a)], {}, "quick")
    assert (full.missing, notes(full, "Without")) == ({}, [])


def test_only_notes_that_apply() -> None:
    words = ("Student", "Wilson over", "Average", "FAIL", "uncommitted", "Tay et al.", "12 on cpu")
    assert all(notes(page(), word) for word in words)
    assert len(notes(page(), "fnet, wise_fixed, wise_adaptive.")) == 1, "without a published number"
    calm = build([run("text", 0.9)], {}, "quick")
    assert not any(
        notes(calm, word) for word in ("Student", "Average", "FAIL", "uncommitted", "Left out", "Tay")
    )


def test_an_average_needs_all_five() -> None:
    table = build(five(0.7)[:4], NUMBERS, "quick")
    assert [texts(table)[label][-1] for label in ("majority class", "vanilla", "published")] == ["—"] * 3


def test_other_data_never_stands_beside_a_published_number() -> None:
    records = [run(task, 0.7, variant="stand-in" if task == "text" else "") for task in TASKS]
    records[0] = run("listops", 0.7, comparable=False)
    table = build(records, NUMBERS, "quick")
    assert table.header == ("listops", "text (stand-in)", "retrieval", "image", "pathfinder", "average")
    assert texts(table)["vanilla"][-1].startswith("70.00 ±")
    assert texts(table)["published"] == ("—", "—", "57.46", "42.44", "71.40", "—")
    assert texts(table)["difference"][:2] == ("—", "—")
    assert len(notes(table, "with listops, text (stand-in): ")) == 1
    alone = build([run("text", 0.7, comparable=False)], NUMBERS, "quick")
    assert "published" not in texts(alone), "a line of dashes says nothing"


def test_a_length_that_is_not_lra_s_stands_in_the_header_and_keeps_published_numbers_out() -> None:
    text = run("text", 0.7, **changed("data", length=1000))
    sample = run("retrieval", 0.7, variant="sample", **changed("data", length=1000))
    table = build([text, sample, run("image", 0.7)], NUMBERS, "quick")
    assert table.header[1:4] == ("text (1,000 bytes)", "retrieval (sample, 1,000 bytes)", "image")
    assert texts(table)["published"][1:4] == ("—", "—", "42.44")


def test_variants_of_a_task_are_columns_and_the_fullest_is_averaged() -> None:
    sample = [run("text", 0.9, variant="sample", backbone=backbone) for backbone in ("vanilla", "fnet")]
    table = build(five(0.7) + sample, {}, "quick")
    assert table.header[1:3] == ("text", "text (sample)")
    # (4 * 70 + 90) / 5
    assert texts(table)["vanilla"][-1].startswith("74.00 ±")
    assert [column.label for column in table.averaged][:2] == ["listops", "text (sample)"]
    assert notes(table, "listops, text (sample), retrieval")
    seeds = [run("text", 0.5, variant="stand-in", seed=seed) for seed in (0, 1)]
    assert build(five(0.7) + seeds, {}, "quick").averaged[1].label == "text (stand-in)"


@pytest.mark.parametrize(
    ("change", "values"),
    [
        (changed("data", sha256="b" * 64), ("b" * 12, "a" * 12)),
        (changed("data", length=512), ("512", "4096")),
        ({"protocol": "s4"}, ("s4", "lra")),
        (changed("budget", batch_size=64), ("64", "32")),
        (changed("budget", steps=50), ("50", "100")),
        ({"comparable": False}, ("False", "True")),
        ({"steps": 70}, ("70", "100")),
        ({"dirty": True}, ("True", "False")),
    ],
)
def test_what_must_not_mix_is_left_out_and_named(change: dict[str, Any], values: tuple[str, str]) -> None:
    records = [make(), make(seed=1), make(seed=2, finished="2027-01-01T00:00:00Z", **change)]
    table = build(records, {}, "quick")
    assert table.seeds == [2]
    (sentence,) = table.left_out
    assert "text: vanilla softmax seed 2 (" in sentence
    assert {*values} <= {*re.findall(r"\w+", sentence)}, "what it has, and what the column has"
    assert plain.notes(table)[-1] == sentence


def test_of_two_settings_equally_common_the_newest_is_kept() -> None:
    newest = make(seed=1, protocol="new", finished="2027-01-01T00:00:00Z")
    for records in ([make(), newest], [newest, make()]):
        assert build(records, {}, "quick").columns[1].records == (newest,)


def test_one_clean_run_stands_rather_than_many_dirty_ones() -> None:
    dirty = [make(seed=seed, dirty=True, finished="2027-01-01T00:00:00Z") for seed in (1, 2, 3)]
    mixed, alone = build([make(), *dirty], {}, "quick"), build(dirty, {}, "quick")
    assert mixed.seeds == [1]
    assert len(mixed.left_out) == 1
    assert alone.seeds == [3]
    assert texts(alone)["vanilla"][1].endswith("*")
    assert notes(alone, "*: ")
    assert alone.left_out == ()


def test_a_table_a_preset_and_rows_by_attention_then_backbone() -> None:
    pairs = ["wise_adaptive performer", "vanilla performer", "a_new_one softmax", "vanilla linear"]
    records = [make(**dict(zip(("backbone", "attention"), pair.split(), strict=True))) for pair in pairs]
    records += [make(preset=preset) for preset in ("small", "paper", "lra")]
    tables = build_all(records, {})
    assert [table.preset for table in tables] == ["paper", "lra", "small", "quick"]
    assert [table.seeds for table in tables[:3]] == [[1]] * 3
    others = ["a_new_one", "vanilla + linear", "vanilla + performer", "wise_adaptive + performer"]
    assert [row.label for row in tables[3].rows] == [backbone for backbone, _ in main_rows()] + others


def test_no_records_gives_dashes_and_says_how_to_make_some() -> None:
    (table,) = build_all([], NUMBERS)
    assert set(sum(texts(table).values(), ())) == {"—"}
    assert "make reproduce-lra" in markdown.page([table])
    assert "make reproduce-lra" in markdown.block([table], "TABLE.md")
    assert spreadsheet.to_csv([table]) == ",".join(spreadsheet.FIELDS) + "\n"


def test_what_a_cell_cost_and_no_column_for_what_no_device_told() -> None:
    text = markdown.page([build([make()], {}, "quick")])
    assert "| text | vanilla | 123,456 | 100 | 66 | 12,345 |\n" in text
    assert "peak memory" not in text
    told = markdown.page([build([make(), make(seed=1, peak_memory_bytes=8_000_000_000)], {}, "quick")])
    assert "| tokens/s | peak memory, MB |" in told
    assert "| text | vanilla | 123,456 | 100 | 66 | 12,345 | 8,000 |\n" in told


def test_a_sweep_is_a_list_at_the_end() -> None:
    config = {"task": {"length": 1000}, "recipe": {"lr": 0.1}, "model": {"mixer": {"heads": 2}}, "seed": 0}
    changed_config = config | {"recipe": {"lr": 0.2}, "heads": {"heads": 4}, "seed": 1}
    changed_config["model"] = {"mixer": {"heads": 4}}
    sweep = [make(preset=f"quick-{i:08x}", config=changed_config, seed=1) for i in range(500)]
    built = build_all([make(config=config), *sweep, make(preset="mine-00000000", attention="linear")], {})
    text = markdown.page(built)
    assert text.count("## preset=") == 1
    last = text.split("## Changed settings")[1].splitlines()
    assert "- quick-00000000: 1 cell: heads.heads=4 (none), recipe.lr=0.2 (0.1)" in last
    assert "- mine-00000000: 1 cell" in last
    assert sum(line.startswith("- ") for line in last) == 501
    assert latex.latex(built).count(r"\begin{table}") == 1
    assert spreadsheet.to_csv(built).count("quick-") == 500
    assert "no runs yet" not in markdown.page(built[1:])


def test_csv_has_a_line_a_cell() -> None:
    rows = list(csv.DictReader(io.StringIO(spreadsheet.to_csv([page()]))))
    assert len(rows) == 5 + 1 + 1 + 1, "vanilla's five tasks and average, fnet, wise_fixed"
    first = {"task": "listops", "seeds": "2", "accuracy": "72.00", "interval": "t", "published": "36.37"}
    assert rows[0].items() >= (first | {"difference": "35.63", "steps": "100", "seconds": "66.00"}).items()
    mean = {"task": "average", "accuracy": "72.00", "majority": "50.00", "steps": "", "seconds": ""}
    assert rows[5].items() >= mean.items()
    flags = [(row["at_chance"], row["dirty"], row["published"]) for row in rows[6:]]
    assert flags == [("1", "0", ""), ("0", "0", "")]
    gains = [[row[k] for k in ("gain", "gain_low", "gain_seeds")] for row in rows]
    assert gains == [["", "", ""]] * 6 + [["-15.00", "", "1"], ["10.00", "", "1"]]


HOSTILE = r"A&B 100% #1 $x_y^2 {z} ~\end{table} <script>alert(1)</script> | * ` [a](b)"


def hostile() -> Table:
    return build([make(device=HOSTILE, **changed("data", source=HOSTILE)), make(seed=1)], {}, "quick")


def test_what_a_record_says_stays_text() -> None:
    text = markdown.page([hostile()])
    assert "<script>" not in text
    assert len({line.count(" | ") for line in text.splitlines() if line.startswith("| text | A")}) == 1
    assert r"\| \* \` \[a\](b)" in text
    tex = latex.latex([hostile()])
    body = tex.split(r"\parbox")[1]
    assert (
        r"A\&B 100\% \#1 \$x\_y\textasciicircum{}2 \{z\} \textasciitilde{}\textbackslash{}end\{table\}"
        in body
    )
    assert r"wise\_fixed" in tex
    assert r"\textbf{72.00\,{\scriptsize $\pm$ 25.41}}" in latex.latex([page()])
    assert tex.count(r"\end{table}") == 1
    assert not re.search(r"[^\x00-\x7f]", latex.latex([page(), hostile()])), "pdflatex knows ASCII for sure"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_latex_compiles(tmp_path: Path) -> None:
    start, end = (
        "\\documentclass{article}\\usepackage{booktabs,graphicx}\\begin{document}\n",
        "\\end{document}\n",
    )
    (tmp_path / "page.tex").write_text(start + latex.latex([page(), hostile()]) + end)
    command = ["pdflatex", "-draftmode", "-halt-on-error", "-interaction=nonstopmode", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_no_cell_of_the_csv_is_a_formula() -> None:
    for text, kept in (
        *(("=1+1", "'=1+1"), ("+1+1", "'+1+1"), ("-1+1", "'-1+1"), ("@SUM(A1)", "'@SUM(A1)")),
        *(("\t=1", "\\t=1"), ("\r=1", "\\r=1"), ("-1.5", "-1.5"), ("lra", "lra"), ("=1", "'=1")),
    ):
        made = spreadsheet.to_csv([build([make(protocol=text)], {}, "quick")])
        assert [row["protocol"] for row in csv.DictReader(io.StringIO(made))] == [kept]
    gains = spreadsheet.to_csv(
        [build([run("text", 0.6), run("text", 0.5, backbone="wise_fixed")], {}, "quick")]
    )
    assert "-10.00" in next(csv.reader([gains.splitlines()[2]]))


def test_no_torch_and_no_slow_import() -> None:
    code = "import sys, wise_lra.results.markdown; print({'torch', 'scipy', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
