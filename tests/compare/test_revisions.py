"""What names a revision, and what is refused."""

import shutil

import pandas as pd
import pytest
import yaml
from comparisons import CLAIM, commit, git, settings, write

from spectroscope.compare.revisions import WORKING_TREE, changed_code, read_all


def pgd(revision):
    table = revision.tables["accuracy"]
    return table.loc[table["attack"] == "pgd", "mean"].item()


@pytest.fixture
def repository(tmp_path):
    """`main` and the tag `first` with accuracy .6 under pgd, the branch `other` with .3, the working tree with .1."""
    root = write(tmp_path / "project")
    commit(root)
    git(root, "tag", "first")
    git(root, "switch", "--quiet", "--create", "other")
    write(root, pgd=(0.2, 0.3, 0.4), claims=[CLAIM])
    commit(root)
    git(root, "switch", "--quiet", "main")
    return write(root, pgd=(0.1, 0.1, 0.1))


def test_one_revision_stands_before_the_working_tree(repository):
    main, tree = read_all(["main"], repository)
    assert (main.name, tree.name, tree.commit) == ("main", WORKING_TREE, None)
    assert (pgd(main), pgd(tree)) == pytest.approx((0.6, 0.1))
    assert main.commit == git(repository, "rev-parse", "main")


def test_branches_tags_commits_and_folders_are_revisions_and_nothing_is_checked_out(repository, tmp_path):
    folder = write(tmp_path / "elsewhere", pgd=(0.7, 0.8, 0.9))
    short = git(repository, "rev-parse", "--short", "other")
    before = git(repository, "status", "--porcelain")
    found = read_all(["first", "other", short, str(folder)], repository)
    assert [pgd(revision) for revision in found] == pytest.approx([0.6, 0.3, 0.3, 0.8])
    assert found[0].claims is None and found[1].claims["verdict"].tolist() == ["supported"]
    assert git(repository, "status", "--porcelain") == before


def test_an_experiment_is_a_revision_by_its_name(repository):
    baseline, experiment = git(repository, "rev-parse", "main"), git(repository, "rev-parse", "other")
    ref = f"refs/exps/{baseline[:2]}/{baseline[2:]}/tart-fiat"
    git(repository, "update-ref", ref, experiment)
    (found, _) = read_all(["tart-fiat"], repository)
    assert found.commit == experiment and pgd(found) == pytest.approx(0.3)
    git(repository, "update-ref", f"refs/exps/{experiment[:2]}/{experiment[2:]}/tart-fiat", baseline)
    with pytest.raises(ValueError, match="tart-fiat: expected one experiment of this name, got 2: name a commit"):
        read_all(["tart-fiat"], repository)


def test_folders_are_compared_without_a_repository(tmp_path):
    one, two = write(tmp_path / "one"), write(tmp_path / "two", pgd=(0.1, 0.2, 0.3))
    assert [pgd(revision) for revision in read_all(["one", "two"], tmp_path)] == pytest.approx([0.6, 0.2])
    assert [revision.name for revision in read_all([str(one)], two)] == [str(one), WORKING_TREE]


def test_a_project_in_a_folder_of_its_repository_is_read(tmp_path):
    write(tmp_path / "repository" / "project")
    commit(tmp_path / "repository")
    (found, _) = read_all(["HEAD"], tmp_path / "repository" / "project")
    assert pgd(found) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["nope"], "expected a branch, tag, commit, experiment or folder, got 'nope', which is none"),
        (["--help"], "expected a branch, tag, commit, experiment or folder, got '--help', which is none"),
        (["main", "main"], "expected revisions that differ, got main, main"),
        (["reports"], "reports: expected the results of a study, found no params.yaml, reports/tables/accuracy.csv"),
        (["empty"], "empty: expected the results of a study, found no reports/tables/accuracy.csv"),
        ([f"a{n}" for n in range(13)], "expected at most 12 revisions, one colour each, got 13"),
    ],
)
def test_what_is_no_revision_with_results_is_refused_in_one_sentence(repository, names, message):
    git(repository, "stash", "--quiet")
    git(repository, "switch", "--quiet", "--create", "empty")
    git(repository, "rm", "--quiet", "-r", "reports")
    commit(repository)
    git(repository, "switch", "--quiet", "main")
    with pytest.raises(ValueError) as caught:
        read_all(names, repository)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_a_name_outside_a_repository_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    root = write(tmp_path / "project")
    message = "main: expected a folder, or a git repository to look for a revision in, found neither"
    with pytest.raises(ValueError, match=message):
        read_all(["main"], root)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match=message):
        read_all(["main"], root)


def test_tables_of_another_schema_version_are_refused_with_both_versions(repository):
    path = repository / "reports" / "tables" / "accuracy.csv"
    pd.read_csv(path).assign(schema=1).to_csv(path, index=False)
    with pytest.raises(ValueError) as caught:
        read_all(["main"], repository)
    assert str(caught.value) == (
        "expected tables of schema version 2 in every revision, got 2 in main, 1, 2 in working tree"
    )
    pd.read_csv(path).drop(columns="schema").to_csv(path, index=False)
    with pytest.raises(ValueError, match="got 2 in main, 2, none in working tree"):
        read_all(["main"], repository)


def test_a_damaged_file_is_named_with_its_revision(repository):
    git(repository, "switch", "--quiet", "--force", "other")
    (repository / "params.yaml").write_text("runs: [")
    commit(repository)
    with pytest.raises(ValueError, match=r"^other: params.yaml: expected YAML"):
        read_all(["other", "first"], repository)
    path = repository / "reports" / "tables" / "accuracy.csv"
    pd.read_csv(path).drop(columns="networks").to_csv(path, index=False)
    git(repository, "checkout", "first", "--", "params.yaml")
    message = r"^working tree: reports/tables/accuracy.csv: expected column networks, found none$"
    with pytest.raises(ValueError, match=message):
        read_all(["first"], repository)


def test_settings_without_what_a_comparison_needs_are_refused(repository):
    content = settings(**{"training": {"epochs": 6}})
    del content["findings"]
    write(repository, content)
    message = "working tree: params.yaml: expected setting training.seeds, findings.attack, found none"
    with pytest.raises(ValueError, match=message):
        read_all(["main"], repository)


def test_results_older_than_their_settings_are_told_by_the_lock(tmp_path):
    def lock(**params):
        stages = {name: {"params": {"params.yaml": values}} for name, values in params.items()}
        (root / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}))

    root = write(tmp_path / "project", settings(**{"training.epochs": 5}))
    write(tmp_path / "other")
    now = settings(**{"training.epochs": 5})
    lock(**{"study": now, "training@plain": {"training": now["training"]}, "training@gone": {"training": "old"}})
    assert read_all(["../other"], root)[1].stale == []
    before = settings()
    lock(**{"study": now, "training@plain": {"runs.plain": before["runs"]["plain"], "training": before["training"]}})
    assert read_all(["../other"], root)[1].stale == ["training"]


def test_files_of_code_that_differ_are_counted(repository):
    main, other, tree = (*read_all(["main", "other"], repository), read_all(["main"], repository)[1])
    assert changed_code(main, other, repository) == changed_code(main, tree, repository) == 0
    (repository / "stages").mkdir()
    (repository / "stages" / "a.py").write_text("1")
    git(repository, "add", "--all")
    assert changed_code(main, tree, repository) == 1
    shutil.rmtree(repository / ".git")
    assert changed_code(tree, tree, repository) is None
