"""The pipeline as a stranger uses it: a clone, `dvc repro`, a new run, a remote, a second clone, a sweep."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from spectroscope.pipeline import machine

ROOT = Path(__file__).parent.parent


def call(folder: Path, *command: str) -> str:
    """Output of a command in a folder, with this Python's programs first on the path; AssertionError if it fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    author = {f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **author, "PATH": path, "DVC_NO_ANALYTICS": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def stages_run(output: str) -> set[str]:
    """Names of the stages that dvc says it ran."""
    return set(re.findall(r"Running stage '([^']+)'", output))


def clone(source: Path, target: Path) -> Path:
    call(source, "git", "clone", "--quiet", "--no-hardlinks", str(source), str(target))
    return target


def toy_study() -> dict:
    """The smoke study with fewer images, and one run on another band than the others."""
    study = yaml.safe_load((ROOT / "studies" / "smoke.yaml").read_text())
    study["dataset"]["per_class"] = {"train": 30, "test": 12}
    study["runs"]["adversarial"]["band"] = "low"
    for attack, n_images in {"pgd": 20, "square": 12, "simba-dct": 12}.items():
        study["attacks"][attack]["n_images"] = n_images
    study["evaluation"]["n_images"] = 48
    study["information"] |= {"n_train": 100, "n_test": 48, "steps": 3}
    study["perturbation"] |= {"n_images": 20, "noise_draws": 3, "splits": 2}
    study["attribution"]["n_images"] = 12
    study["validation"]["multiverse"] |= {"bases": ["dct"], "shapes": ["linf"]}
    return study


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A clone of the working tree with the toy study in place of params.yaml, reproduced once and committed."""
    folder = clone(ROOT, tmp_path_factory.mktemp("pipeline") / "project")
    listed = call(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(toy_study(), sort_keys=False))
    (folder / "dvc.lock").unlink(missing_ok=True)
    stages = stages_run(call(folder, "dvc", "repro"))
    assert {"study", "dataset", "bands@full", "training@standard", "attacks@adversarial-pgd", "report"} <= stages
    call(folder, "git", "add", "--all")
    call(folder, "git", "commit", "--quiet", "--message", "Toy study")
    return folder


def test_the_metrics_are_three_numbers_a_run(project):
    runs = json.loads((project / "reports" / "metrics.json").read_text())
    assert set(runs) == {"standard", "adversarial"}
    for numbers in runs.values():
        assert set(numbers) == {"clean", "attacked", "centroid"} and 0 <= numbers["attacked"] <= numbers["clean"] <= 1


def test_two_networks_have_no_interval_and_both_their_values(project):
    checked = set()
    for file in (project / "reports" / "tables").glob("*.csv"):
        table = pd.read_csv(file)
        if {"networks", "n_seeds", "mean"} <= set(table):
            two = table[(table["n_seeds"] == 2) & table["mean"].notna()]
            if two.empty or file.stem in ("concordance", "split_half", "recovery"):
                continue  # networks that rank, splits, and networks as trials: their intervals are over something else
            assert two[["low", "high"]].isna().all(axis=None), file
            if file.stem in ("contrasts", "multiverse"):
                continue  # differences, beside the values of the run
            values = two["networks"].str.split(expand=True).astype(float)
            rounding = 5.1e-4 * values.abs().max(axis=1) + 1e-6  # of values with four digits, of means with six
            assert ((values.mean(axis=1) - two["mean"]).abs() <= rounding).all(), file
            checked.add(file.stem)
    wanted = {"accuracy", "reliance", "attacks", "calibrated", "occluded_frequency", "faithfulness", "layers"}
    assert wanted <= checked


def test_claims_read_what_stands_behind_the_agreement_of_methods_and_every_choice(project):
    claims = pd.read_csv(project / "reports" / "tables" / "claims.csv").set_index("claim")
    tables = {
        name: pd.read_csv(project / "reports" / "tables" / f"{name}.csv") for name in ("multiverse", "concordance")
    }
    every = tables["multiverse"].query("statistic == 'centroid'")
    kept = every[~every["marked"]]
    choice = claims.loc["lower-under-every-choice", "choice"]
    of, without = map(int, re.findall(r"one of (\d+) choices; (\d+) give no centre", choice)[0])
    assert (of, of + without) == (len(kept), len(every))
    mean = claims.loc["lower-under-every-choice", "mean"]
    assert mean == kept["mean"].max()
    rows = tables["concordance"].query("method == 'all' and run == 'standard'").set_index("across")["mean"]
    assert claims.loc["methods-rank-alike", "mean"] == rows["methods"]


def test_a_run_is_trained_on_its_band(project):
    for run, band in (("standard", "full"), ("adversarial", "low")):
        assert json.loads((project / "data" / "models" / run / "card.json").read_text())["data"]["band"] == band


def test_accuracies_of_the_table_are_those_of_the_stored_attacks(project):
    table = pd.read_csv(project / "reports" / "tables" / "accuracy.csv").set_index(["run", "attack"])
    stored = pd.read_parquet(project / "data" / "attacks" / "standard" / "pgd.parquet")
    right = (stored["after"] == stored["label"]).mean()
    assert table.loc[("standard", "pgd"), "mean"] == pytest.approx(right, abs=1e-5)


def test_the_page_shows_every_run_and_needs_no_network(project):
    page = (project / "reports" / "index.html").read_text()
    assert all(run in page for run in ("standard", "adversarial"))
    assert not re.search(r"""<(script|link|img|iframe)[^>]+(src|href)=["']?(https?:)?//""", page)


def test_a_second_repro_has_nothing_to_do(project):
    assert not stages_run(call(project, "dvc", "repro"))


def test_another_clone_computes_the_same_bytes(project, tmp_path):
    """A fact of the machine or of the time in any output would change dvc.lock, which has the digests of them all."""
    second = clone(project, tmp_path / "second")
    (second / "dvc.lock").unlink()
    for file in (second / "reports").rglob("*.*"):
        if file.is_file() and file.name != ".gitignore":
            file.unlink()
    stages = stages_run(call(second, "dvc", "repro"))
    assert {"dataset", "training@adversarial", "attacks@standard-simba-dct", "findings", "report"} <= stages
    apart_from_machine = ("--untracked-files=all", "--", ".", ":!reports/machine")
    assert call(second, "git", "status", "--porcelain", *apart_from_machine) == ""
    assert set(json.loads((second / "reports" / "machine" / "study.json").read_text())) == set(machine.describe())


def test_no_output_that_dvc_tracks_names_the_machine_or_a_path(project):
    facts = [str(project), *(fact for fact in machine.describe().values() if isinstance(fact, str))]
    stages = yaml.safe_load((project / "dvc.lock").read_text())["stages"].values()
    outputs = [project / out["path"] for stage in stages for out in stage["outs"]]
    files = {file for out in outputs for file in ([out] if out.is_file() else out.rglob("*")) if file.is_file()}
    assert {project / "reports/metrics.json", project / "data/models/standard/card.json"} <= files
    found = {(file, fact) for file in files for fact in facts if fact.encode() in file.read_bytes()}
    assert found == set()


def cells(folder: Path) -> dict[Path, bytes]:
    """Every file of the cells of a grid."""
    kinds = (folder / "data" / kind for kind in ("models", "attacks", "attribution"))
    return {file.relative_to(folder): file.read_bytes() for kind in kinds for file in kind.rglob("*") if file.is_file()}


MINE = """from networks.blocks import ACTIVATION
from spectroscope.models.architectures import ARCHITECTURES

def net(channels, classes, small):
    return ARCHITECTURES["resnet8"](channels, classes, small)
"""


def test_a_run_of_pretrained_weights_computes_its_own_cells_alone_and_a_change_of_its_files_is_seen(project, tmp_path):
    """The networks of `standard` as a second run, whose architecture is a function outside of the package."""
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, symlinks=True)
    settings = yaml.safe_load((project / "params.yaml").read_text())
    files = [f"data/sources/{seed}.safetensors" for seed in (0, 1)]
    for seed, file in enumerate(files):
        shutil.copy(project / "data" / "models" / "standard" / f"seed{seed}.safetensors", copy / file)
        call(copy, "dvc", "add", file)
    regime = {"name": "pretrained", "weights": files, "entry": None, "keys": "own"}
    regime |= {"mean": None, "std": None, "least_accuracy": 0.01}
    settings["runs"]["theirs"] = {"band": "full", "regime": regime, "model": "networks.mine:net"}
    (copy / "networks" / "mine.py").write_text(MINE)
    (copy / "networks" / "blocks.py").write_text("ACTIVATION = 1\n")
    (copy / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    stages = stages_run(call(copy, "dvc", "repro", "findings"))
    own = {f"attacks@theirs-{attack}" for attack in settings["attacks"]} | {"training@theirs", "attribution@theirs"}
    assert stages == own | {"study", "counts", "evaluation", "findings"}
    files_after = cells(copy)
    assert all(files_after[name] == content for name, content in cells(project).items())  # those of the other runs
    assert set(pd.read_csv(copy / "data" / "models" / "theirs" / "epochs.csv")["epoch"]) == {0}
    accuracy = pd.read_csv(copy / "reports" / "tables" / "accuracy.csv").set_index("run").drop(columns="schema")
    pd.testing.assert_frame_equal(
        accuracy.loc["theirs"].reset_index(drop=True), accuracy.loc["standard"].reset_index(drop=True)
    )
    curves = pd.read_csv(copy / "reports" / "tables" / "occluded_frequency.csv").set_index("run")["mean"]
    # its BatchNorm is not folded, which rounds otherwise
    np.testing.assert_allclose(curves["theirs"], curves["standard"], rtol=1e-4, atol=1e-5)

    some = [f"attacks@{run}-pgd" for run in ("standard", "theirs")]
    own_pgd = ["training@theirs", "attacks@theirs-pgd"]
    assert not stages_run(call(copy, "dvc", "repro", *some))
    (copy / "networks" / "blocks.py").write_text("ACTIVATION = 2\n")  # the networks that the function imports
    assert "networks" in call(copy, "dvc", "status")
    assert stages_run(call(copy, "dvc", "repro", *some)) == {"study", "counts", *own_pgd}
    (copy / "networks" / "unused.py").write_text("")  # a file that no run imports
    assert stages_run(call(copy, "dvc", "repro", *some)) == {"study"}
    weights = copy / "data" / "models" / "theirs"
    before = [(weights / f"seed{seed}.safetensors").read_bytes() for seed in (0, 1)]
    one, other = (copy / files[0]).read_bytes(), (copy / files[1]).read_bytes()
    for file, content in zip(files, (other, one), strict=True):  # other weights under the same names
        (copy / file).unlink()  # perhaps a link into the cache
        (copy / file).write_bytes(content)
        call(copy, "dvc", "add", file)
    assert "data/sources" in call(copy, "dvc", "status")
    assert stages_run(call(copy, "dvc", "repro", *some)) == {"study", "counts", *own_pgd}
    assert [(weights / f"seed{seed}.safetensors").read_bytes() for seed in (1, 0)] == before


def test_a_changed_source_file_reruns_what_reads_it_and_what_reads_other_bytes(project, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, symlinks=True)
    targets = ["attacks@standard-pgd", "attacks@standard-square"]

    def stages_after_a_comment_in(file: str) -> set[str]:
        with (copy / "spectroscope" / file).open("a") as source:
            source.write("# a comment\n")
        return stages_run(call(copy, "dvc", "repro", *targets))

    assert stages_after_a_comment_in("attacks/square.py") == {"study", "attacks@standard-square"}
    assert stages_after_a_comment_in("attacks/simba.py") == {"study"}  # a method that neither of them is
    # training writes the same bytes again, so nothing that reads them runs
    assert stages_after_a_comment_in("training/loop.py") == {"study", "training@standard"}


def test_after_a_run_is_dropped_a_clone_that_pulls_has_nothing_to_do(project, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(project, first, symlinks=True)
    whole, target = yaml.safe_load((first / "params.yaml").read_text()), "evaluation"
    fewer = {**whole, "runs": {"standard": whole["runs"]["standard"]}, "claims": {}}  # claims are about both runs
    call(first, "dvc", "remote", "add", "--default", "--force", "store", str(tmp_path / "store"))

    def reproduce(settings: dict) -> set[str]:
        (first / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
        return stages_run(call(first, "dvc", "repro", target))

    assert reproduce(fewer) == {"study", "counts", "evaluation"}
    assert not list((first / "data").glob("*/adversarial"))
    assert reproduce(whole) == {"study"}  # the rest is in the cache
    assert reproduce(fewer) == {"study"} and not list((first / "data").glob("*/adversarial"))
    call(first, "git", "add", "--all")
    call(first, "git", "commit", "--quiet", "--message", "One run less")
    call(first, "dvc", "push", target, "--with-deps")
    clone(first, second)
    call(second, "dvc", "pull", target, "--with-deps")
    assert "up to date" in call(second, "dvc", "status", target, "--with-deps")
    assert not stages_run(call(second, "dvc", "repro", target))


def test_temporary_files_of_a_killed_process_change_no_dependency(project, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, symlinks=True)
    (copy / "data" / "models" / "standard" / ".seed0.safetensors.1.part").touch()
    (copy / "reports" / "tables" / ".accuracy.csv.1.part").touch()
    assert "up to date" in call(copy, "dvc", "status")


def test_a_second_clone_pulls_and_has_nothing_to_do(project, tmp_path):
    call(project, "dvc", "remote", "add", "--default", "--force", "store", str(tmp_path / "store"))
    call(project, "git", "commit", "--quiet", "--all", "--message", "Remote")
    call(project, "dvc", "push")
    second = clone(project, tmp_path / "second")
    call(second, "dvc", "pull")
    assert not stages_run(call(second, "dvc", "repro"))
    assert (second / "reports" / "index.html").exists()


def test_a_sweep_over_two_clones_trains_nothing_shares_one_cache_and_ends_in_one_table(project, tmp_path):
    sweep, folder = ("bash", str(ROOT / "scripts" / "sweep.sh")), tmp_path / "sweep"
    call(project, *sweep, "start", str(folder))
    settings = {"few": "evaluation.n_images=20", "weak": "attacks.pgd.eps_255=1"}

    def experiment(name: str) -> set[str]:
        return stages_run(call(project, *sweep, "run", str(folder), name, "-S", settings[name], "findings"))

    with ThreadPoolExecutor(len(settings)) as side_by_side:
        few, weak = side_by_side.map(experiment, settings)
    assert few == {"study", "counts", "evaluation", "findings"}  # the other outputs are in the cache
    assert weak == few | {"attacks@standard-pgd", "attacks@adversarial-pgd"}
    assert sorted(clone.name for clone in (folder / "clones").iterdir()) == sorted(settings)
    assert not list((folder / "clones").glob("*/.dvc/cache/files")) and (folder / "cache" / "files").is_dir()
    table = pd.read_csv(io.StringIO(call(project, *sweep, "table", str(folder), "--csv")))
    rows = table.dropna(subset="Experiment").set_index("Experiment")
    assert rows["evaluation.n_images"].to_dict() == {"few": 20, "weak": 48}
    assert rows["standard.clean"].notna().all() and rows["adversarial.attacked"].notna().all()
    assert rows["attacks.pgd.eps_255"].to_dict() == {"few": 8, "weak": 1}
    call(project, "dvc", "exp", "pull", "--remote", "sweep", str(folder / "git"), "few", "weak")
    call(project, "dvc", "exp", "apply", "few")
    predictions = pd.read_parquet(project / "data" / "evaluation" / "predictions.parquet")
    assert predictions.loc[predictions["kind"] == "band", "image"].nunique() == 20
    call(project, "dvc", "exp", "apply", "weak")
    difference = call(project, "dvc", "metrics", "diff", "HEAD", "--json")
    assert "standard.attacked" in difference or "adversarial.attacked" in difference
