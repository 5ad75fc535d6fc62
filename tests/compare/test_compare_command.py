"""`spectroscope compare` as it is called: what it writes, what it prints, how it fails."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from comparisons import CLAIM, commit, git, settings, write
from report_pages import Elements
from typer.testing import CliRunner

from spectroscope.cli import app

ROOT = Path(__file__).parents[2]
SMALL = {"content": settings(**{"attacks.pgd.eps_255": 4}), "pgd": (0.6, 0.65, 0.85)}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """`main` with a supported claim; in the working tree a smaller radius, a higher accuracy, and the claim void."""
    root = write(tmp_path / "project", claims=[CLAIM])
    commit(root)
    void = CLAIM | {"verdict": "undetermined", "void": "the control is supported"}
    write(root, **SMALL, claims=[void])
    monkeypatch.chdir(root)
    return root


def call(*arguments):
    return CliRunner().invoke(app, ["compare", *arguments])


def test_the_page_has_settings_verdicts_numbers_and_charts_and_asks_for_nothing(project):
    done = call("main")
    assert (done.exit_code, done.stdout) == (0, "compare: wrote compare.html\n")
    text = (project / "compare.html").read_text()
    assert re.findall(r'<section id="(\w+)">', text) == ["settings", "claims", "headline", "accuracy", "reliance"]
    assert "attacks.pgd.eps_255" in text and "supported, 0.45 log ratio, margin 0.2<small>[0.3, 0.6]</small>" in text
    assert "void (the control is supported), else undetermined" in text
    assert "+10.0 points<small>[-2.4, +22.4]</small>" in text
    assert not re.search(r"(?:src|href)=\"(?!#)|@import|url\(", text.replace(re.search(r'"([^"]{999,})"', text)[1], ""))
    titles = [json.loads(spec)["title"] for spec in Elements(text).json]
    assert titles == ["plain", "plain"]
    ((accuracy,), (curve,)) = (json.loads(spec)["datasets"].values() for spec in Elements(text).json)
    assert "working tree,pgd,0.7,0.1,0.9" in accuracy and "noise" not in accuracy
    assert curve.splitlines()[:2] == ["revision,shell,mean,low,high", "main,1,0.1,0.1,0.9"]


def test_markdown_goes_to_standard_output_or_a_file(project):
    done = call("main", "--markdown")
    rows = [re.split(r" *\| *", line)[1:-1] for line in done.stdout.splitlines() if line.startswith("|")]
    assert ["attacks.pgd.eps_255", "8", "4"] in rows
    assert [
        "plain: accuracy under pgd",
        "60.0 % [10.0, 90.0]",
        "70.0 % [10.0, 90.0]",
        "+10.0 points [-2.4, +22.4]",
    ] in rows
    assert ["plain: clean accuracy", "90.0 % [10.0, 90.0]", "90.0 % [10.0, 90.0]", "the same"] in rows
    assert done.stdout.index("Which settings") < done.stdout.index("Which claims") < done.stdout.index("headline")
    assert call("main", "--markdown", "--out", "pr.md").stdout == "compare: wrote pr.md\n"
    assert (project / "pr.md").read_text() == done.stdout
    assert not (project / "compare.html").exists()


def test_json_has_every_number_and_null_where_there_is_none(project):
    content = json.loads(call("main", "--json").stdout)
    assert content["settings"] == {"attacks.pgd.eps_255": {"main": 8, "working tree": 4}}
    assert [revision["name"] for revision in content["revisions"]] == ["main", "working tree"]
    assert content["claims"]["working tree"][0]["void"] == "the control is supported"
    (attacked,) = [number for number in content["numbers"] if number["statistic"] == "pgd"]
    assert attacked["values"]["main"]["networks"] == "0.5 0.6 0.7"
    (change,) = attacked["differences"].values()
    assert change == {"mean": 0.1, "low": -0.0242069, "high": 0.224207, "why": "", "less": "main"}
    (same,) = [number["differences"] for number in content["numbers"] if number["statistic"] == "clean"]
    assert same["working tree"] == {"mean": 0.0, "low": None, "high": None, "why": "the same", "less": "main"}


def test_several_revisions_differ_from_the_first(project):
    git(project, "branch", "old")
    (project / "reports" / "tables" / "claims.csv").unlink()
    commit(project)
    text = call("main", "old", "--markdown").stdout
    assert "old minus main" in text and "working tree" not in text
    assert "+ -" not in text and "-10.0 points [-22.4, +2.4]" in text
    assert re.search(r"\| high: PGD lies in high shells \| no claims +\| supported, 0.45", text)
    assert "Another verdict, or none in some revision: high." in text


@pytest.mark.parametrize(
    ("void", "verdict", "words"),
    [
        (True, "supported", "void, else supported, 0.45"),
        (False, "supported", "supported, 0.45"),
        ("no effect of the cause", "void", "void (no effect of the cause), 0.45"),
    ],
)
def test_a_void_claim_is_shown_as_void(project, void, verdict, words):
    write(project, **SMALL, claims=[CLAIM | {"void": void, "verdict": verdict}])
    (row,) = re.findall(r"^\| high: .*", call("main", "--markdown").stdout, re.M)
    assert re.split(r" *\| *", row)[3].startswith(words)


def test_revisions_without_claims_and_without_changes_say_so(tmp_path, monkeypatch):
    for name in ("one", "two"):
        write(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    text = call("one", "two", "--markdown").stdout
    assert "No setting differs." in text and "No claims: no revision has any." in text
    assert "Every other number" not in text


def test_names_cannot_break_the_page_or_the_table(project):
    git(project, "branch", "a<b>|`c`")
    assert call("a<b>|`c`").exit_code == 0
    assert "<b>" not in (project / "compare.html").read_text()
    headers = re.findall(r"^\| +\|.*|^\| setting.*", call("a<b>|`c`", "--markdown").stdout, re.M)
    assert headers and all(r"| a<b>\|`c` " in header for header in headers)


def test_results_older_than_their_settings_and_other_code_are_warned_of(project):
    (project / "dvc.lock").write_text("stages: {evaluation: {params: {params.yaml: {attacks.pgd: {eps_255: 8}}}}}\n")
    (project / "spectroscope").mkdir()
    (project / "spectroscope" / "bands.py").write_text("")
    git(project, "add", "--all")
    text = call("main", "--markdown").stdout
    assert "> The results of working tree are older than its settings: attacks.pgd changed since." in text
    assert "> The code of working tree differs from that of main in 1 file" in text
    assert "+10.0 points [settings changed since]" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "spectroscope: expected a branch, tag, commit, experiment or folder, got 'nope', which is none\n"),
        (["main", "--json", "--markdown"], "spectroscope: expected --markdown or --json, got both\n"),
        (["main", "--out", "params.yaml/x.html"], "spectroscope: [Errno"),
    ],
)
def test_a_failure_is_one_sentence_and_leaves_no_file(project, arguments, message):
    before = sorted(project.rglob("*"))
    done = call(*arguments)
    assert done.exit_code == 2 and done.stderr.startswith(message) and done.stderr.count("\n") == 1
    assert done.stdout == "" and sorted(project.rglob("*")) == before


def test_the_page_is_ignored_by_git():
    ignored = subprocess.run(["git", "check-ignore", "--no-index", "compare.html"], cwd=ROOT, capture_output=True)
    assert ignored.stdout.split() == [b"compare.html"]


def test_the_command_alone_imports_neither_torch_nor_pandas():
    program = "import sys, spectroscope.cli; print({'torch', 'pandas', 'altair'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
