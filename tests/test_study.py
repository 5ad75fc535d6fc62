"""A study is checked as one: the names in it agree, and every fault names its key."""

import copy
import os
import shutil
from pathlib import Path

import pytest

from spectroscope.attacks import registry
from spectroscope.models import architectures
from spectroscope.pipeline import params
from spectroscope.study import Study, check_files

ROOT = Path(__file__).parents[1]
STUDIES = [ROOT / "params.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]
MODELS = ", ".join(architectures.ARCHITECTURES)
REGIMES = (
    "'standard', 'adversarial', 'confined', 'trades', 'gaussian', 'filtered', 'swap', 'gradient_penalty', 'pretrained'"
)
ATTACKS = ", ".join(map(repr, registry.ATTACKS))
SMOKE = params.read(ROOT / "studies" / "smoke.yaml")


ON_LAYERS: dict = {
    "table": "layers",
    "where": {"run": "standard", "layer": "1.0 Conv2d", "network": "network", "statistic": "passed", "band": [4, 6]},
    "less": None,
}


def message(path, value):
    """The error of the smoke study with the value at a dotted path set, or taken out where it is `...`."""
    study = copy.deepcopy(SMOKE)
    *above, last = path.split(".")
    place = study
    for key in above:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    with pytest.raises(ValueError) as caught:
        params.validate(study, Study, "")
    return str(caught.value)


START = {"weights": ["w.pt"], "entry": None, "keys": "own", "mean": None, "std": None, "least_accuracy": 0.9}
PRETRAINED = {"band": "full", "regime": {"name": "pretrained", **START}, "model": "resnet8"}


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_a_study_of_this_repository_is_valid(path):
    study = params.validate(params.read(path), Study, "", path)
    assert study.runs and study.findings.reference in study.runs


def test_the_full_study_runs_every_attack_there_is():
    study = params.validate(params.read(ROOT / "studies" / "full.yaml"), Study, "")
    assert {entry.method for entry in study.attacks.values()} == set(registry.ATTACKS)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("bands.low.basis", "fft", "bands.low.basis: expected 'dct' or 'dft', got 'fft'"),
        ("bands.low.keep", "in", "bands.low.keep: expected one of 'all', 'inside', 'outside', 'permuted', got 'in'"),
        ("bands.low.high", 0, "bands.low.high: expected a number greater than 0, got 0"),
        ("bands.low.low", 9, "bands.low: expected low < high, got low 9 and high 8"),
        ("bands", {}, "bands: expected at least 1 entry, got {}"),
        ("runs", {}, "runs: expected at least 1 entry, got {}"),
        ("attacks", {}, "attacks: expected at least 1 entry, got {}"),
        (
            "runs",
            {f"run{k}": SMOKE["runs"]["standard"] for k in range(13)},
            "runs: expected at most 12, one colour each, got 13",
        ),
        ("runs.standard.band", "lo", "runs.standard.band: expected a band among full, low, got 'lo'"),
        (
            "runs.standard.model",
            "resnet9",
            f"runs.standard.model: expected a model among {MODELS}, or module:function, got 'resnet9'",
        ),
        (
            "runs.standard.start",
            {**START, "weights": ["a.pt", "b.pt", "c.pt"]},
            "runs.standard.start.weights: expected 1 file, or 2, one for each seed, got 3",
        ),
        (
            "runs.standard",
            {**PRETRAINED, "start": START},
            "runs.standard.start: expected none with the regime pretrained, which trains nothing, got one",
        ),
        (
            "runs.standard",
            {**PRETRAINED, "training": {"epochs": 2}},
            "runs.standard.training: expected none with the regime pretrained, which trains nothing, got one",
        ),
        (
            "runs.standard.training",
            {"seeds": [3]},
            "runs.standard.training.seeds: unknown setting (misspelt?), got [3]",
        ),
        (
            "runs.standard.training",
            {"epochs": 0},
            "runs.standard.training.epochs: expected a number greater than or equal to 1, got 0",
        ),
        (
            "runs.standard.training",
            {"keep": None},
            "runs.standard.training.keep: expected 'last' or 'best', got None",
        ),
        (
            "runs.standard.regime.name",
            "natural",
            f"runs.standard.regime.name: expected one of {REGIMES}, got 'natural'",
        ),
        (
            "runs.adversarial.regime.eps_255",
            -8,
            "runs.adversarial.regime.eps_255: expected a number greater than 0, got -8",
        ),
        ("runs.adversarial.regime.eps_255", ..., "runs.adversarial.regime.eps_255: expected this setting, found none"),
        ("runs.adversarial.regime.norm", ..., "runs.adversarial.regime.norm: expected this setting, found none"),
        (
            "training.validation_attack.eps_255",
            -1,
            "training.validation_attack.eps_255: expected a number greater than 0, got -1",
        ),
        ("attacks.pgd.eps_255", -1, "attacks.pgd.eps_255: expected a number greater than or equal to 0, got -1"),
        ("attacks.pgd.esp_255", 8, "attacks.pgd.esp_255: unknown setting (misspelt?), got 8"),
        ("attacks.pgd.eps_255", ..., "attacks.pgd.eps_255: expected this setting, found none"),
        (
            "attacks.pgd.method",
            "bim",
            f"attacks.pgd.method: expected one of {ATTACKS}, got 'bim'",
        ),
        (
            "findings.reference",
            "base",
            "findings.reference: expected a run among standard, adversarial, got 'base'",
        ),
        (
            "findings.attack",
            "cw",
            "findings.attack: expected an attack within a ball among pgd, square, got 'cw'",
        ),
        (
            "attribution.methods.energy",
            {"method": "occluded", "baseline": "zero", "channels": "each", "clip": False},
            "attribution.methods.energy: expected another name, since energy is an order of validation",
        ),
        (
            "attacks.clean",
            SMOKE["attacks"]["pgd"],
            "attacks.clean: expected another name, since `clean` stands for no attack",
        ),
        (
            "attacks.autoattack",
            SMOKE["attacks"]["pgd"],
            "attacks.autoattack: expected the method autoattack under this name, got pgd",
        ),
        (
            "probing.masks.attack",
            "fgsm",
            "probing.masks.attack: expected an attack among pgd, square, simba-dct, got 'fgsm'",
        ),
        (
            "attack_checks.transfer",
            ["pgd", "pdg"],
            "attack_checks.transfer: expected attacks among pgd, square, simba-dct, got 'pdg'",
        ),
        ("training.validation_attack", ..., "training.validation_attack: expected this setting, found none"),
        (
            "claims.attack-changes-high.effect.where.run",
            "base",
            "claims.attack-changes-high.effect.where: expected run among standard, adversarial, got 'base'",
        ),
        (
            "claims.attack-changes-high.control.where.attack",
            "fgsm",
            "claims.attack-changes-high.control.where: expected attack among pgd, square, simba-dct, got 'fgsm'",
        ),
        (
            "claims.adversarial-moves-down.effect.where.statistic",
            "low_sum",
            "claims.adversarial-moves-down.effect.where: expected statistic among centroid, centroid_abs, "
            "negative_share, hf_share, class_negative, got 'low_sum'",
        ),
        (
            "claims.adversarial-moves-down.effect.less",
            {"run": "base"},
            "claims.adversarial-moves-down.effect.less: expected run among standard, adversarial, got 'base'",
        ),
        (
            "claims.adversarial-moves-down.effect.where",
            {"run": "standard"},
            "claims.adversarial-moves-down.effect: expected where with run, score, statistic, got run",
        ),
        (
            "claims.attack-changes-high.effect.where.shell",
            [8, 8],
            "claims.attack-changes-high.effect: expected where.shell to be a number, or two in order, got [8, 8]",
        ),
        (
            "claims.adversarial-moves-down.margin",
            -1,
            "claims.adversarial-moves-down.margin: expected a number greater than or equal to 0, got -1",
        ),
        (
            "claims.adversarial-moves-down.control",
            None,
            "claims.adversarial-moves-down.control: expected a mapping of settings, got None",
        ),
        (
            "claims.adversarial-moves-down.effect",
            ON_LAYERS | {"where": ON_LAYERS["where"] | {"network": "shuffled"}},
            "claims.adversarial-moves-down.effect.where: expected network among network, random weights, shuffled "
            "pixels, got 'shuffled'",
        ),
        (
            "probing.layers",
            {"n_images": 2, "partition": "octave", "bands": 4, "seed": 0},
            "probing.layers: expected bands null for octave, whose number follows from the size, got 4",
        ),
        ("findings.floor", 2, "findings.floor: expected a number less than or equal to 1, got 2"),
        ("trainin", 1, "trainin: unknown setting (misspelt?), got 1"),
    ],
)
def test_a_fault_is_one_line_that_names_its_key(path, value, expected):
    assert message(path, value) == f"params.yaml: {expected}"


def test_a_claim_on_layers_needs_a_study_that_probes_them():
    study = params.read(ROOT / "studies" / "smoke.yaml")
    study["claims"]["adversarial-moves-down"]["effect"] = ON_LAYERS
    params.validate(study, Study, "")
    study["probing"]["layers"] = None
    with pytest.raises(ValueError, match="expected run among none: the study has no row in layers, got 'standard'"):
        params.validate(study, Study, "")


def test_a_claim_on_choices_needs_a_study_that_has_a_multiverse_and_two_runs_of_it():
    study = copy.deepcopy(SMOKE)
    study["claims"]["lower-under-every-choice"]["effect"]["less"] = "nobody"
    expected = "claims.lower-under-every-choice.effect.less: expected run among standard, adversarial, got 'nobody'"
    with pytest.raises(ValueError, match=expected):
        params.validate(study, Study, "")
    study = copy.deepcopy(SMOKE) | {"validation": {**SMOKE["validation"], "multiverse": None}}
    with pytest.raises(ValueError, match="expected run among none: the study has no row in choices, got 'adversarial'"):
        params.validate(study, Study, "")


def test_an_unknown_data_set_lists_the_known_ones():
    expected = "params.yaml: dataset.name: expected one of 'photos', 'planted', 'cifar10'"
    assert message("dataset.name", "imagenet").startswith(expected)


def test_cells_whose_names_collide_are_refused():
    """Runs `a` and `a-b` with attacks `b-c` and `c`: DVC would keep one of two stages named attacks@a-b-c."""
    study = copy.deepcopy(SMOKE)
    study["runs"] = {"a": study["runs"]["standard"], "a-b": study["runs"]["adversarial"]}
    study["attacks"] = {"b-c": study["attacks"]["pgd"], "c": study["attacks"]["square"]}
    study["findings"] |= {"reference": "a", "attack": "c"}
    study["probing"]["masks"]["attack"] = "c"
    study["attack_checks"]["transfer"] = ["c"]
    study["claims"] = {}
    expected = "runs.a-b: expected names of runs and attacks that give each cell a name of its own, got a-b-c for a "
    with pytest.raises(ValueError, match=expected + "under b-c and for a-b under c"):
        params.validate(study, Study, "")
    study["runs"]["ab"] = study["runs"].pop("a-b")
    assert params.validate(study, Study, "")


SIX = "expected values that differ in their first six digits, got"
COMPARED = {"n_images": 8, "shape": "linf", "bands": 8, "score": "margin"}
SHAPLEY = {"shapley": {"method": "shapley", "baseline": "zero", "clip": False}}
MARGINS = {"n_images": 8, "partition": "octave", "bands": None, "steps": 3, "candidates": 3}
NOISE = {"method": "noise", "norm": "linf", "n_images": 4, "eps_255": 8}
CONFINED = {"method": "confined", "norm": "l2", "n_images": 4, "target": None, "eps": 0.5, "step_size": 0.1}
CONFINED |= {"steps": 2, "random_start": True, "direction": "l2", "coefficients": None}
ONE_FOLDER = "expected a name that differs from"
INFORMATION = SMOKE["information"]
MULTIVERSE = {
    "n_images": 8,
    "bases": ["dct"],
    "shapes": ["linf"],
    "baselines": ["zero"],
    "scores": ["logit"],
    "clips": [False],
}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("attacks.pgd.eps_255", [8, 8], f"attacks.pgd.eps_255: {SIX} [8.0, 8.0]"),
        ("attacks.pgd.eps_255", [8, 8.0000001], f"attacks.pgd.eps_255: {SIX} [8.0, 8.0000001]"),
        ("attacks.pgd", {**NOISE, "kinds": ["pink"] * 2}, f"attacks.pgd.kinds: {SIX} ['pink', 'pink']"),
        ("validation.sanity", {"n_images": 2, "shares": [1, 1.0]}, f"validation.sanity.shares: {SIX} [1.0, 1.0]"),
        ("validation.multiverse", {**MULTIVERSE, "bases": ["dct", "dct"]}, f"multiverse.bases: {SIX} ['dct', 'dct']"),
        ("validation.multiverse", {**MULTIVERSE, "clips": [True, True]}, f"multiverse.clips: {SIX} [True, True]"),
        ("perturbation.shapes", ["linf", "linf"], f"perturbation.shapes: {SIX} ['linf', 'linf']"),
        ("attack_checks.transfer", ["pgd", "pgd"], f"attack_checks.transfer: {SIX} ['pgd', 'pgd']"),
        (
            "runs.standard",
            {**PRETRAINED, "regime": {**PRETRAINED["regime"], "weights": ["x", "x"]}},
            f"{SIX} ['x', 'x']",
        ),
        (
            "information",
            {**INFORMATION, "partition": "octave", "bands": 5},
            "information: expected bands null for octave",
        ),
        (
            "information",
            {**INFORMATION, "partition": "equal_count", "bands": None},
            "expected a number of bands for equal_count",
        ),
        ("probing.margins", {**MARGINS, "bands": 4}, "probing.margins: expected bands null for octave"),
        (
            "attribution.compared",
            {**COMPARED, "shape": "equal_energy", "bands": None},
            "expected a number of bands for equal_energy",
        ),
        (
            "attribution",
            {**SMOKE["attribution"], "compared": {**COMPARED, "bands": 11}, "methods": SHAPLEY},
            "methods.shapley: expected at most 10 compared bands",
        ),
        (
            "attribution",
            {
                **SMOKE["attribution"],
                "basis": "dft",
                "methods": {"m": {"method": "margin", "steps": 1, "candidates": 1}},
            },
            "methods.m: expected basis dct for the method margin, got dft",
        ),
        (
            "validation.multiverse",
            {**MULTIVERSE, "n_images": 10**6},
            "validation.multiverse.n_images: expected at most attribution.compared",
        ),
        (
            "validation.sanity",
            {"n_images": 10**6, "shares": [1]},
            "validation.sanity.n_images: expected at most attribution.compared",
        ),
        ("bands.again", SMOKE["bands"]["low"], "bands.again: expected a band of its own, got that of bands.low"),
        (
            "attacks.confined",
            {**CONFINED, "bands": {"low": SMOKE["bands"]["low"], "again": SMOKE["bands"]["low"]}},
            "attacks.confined.bands.again: expected a band of its own, got that of attacks.confined.bands.low",
        ),
        (
            "bands.LOW",
            {**SMOKE["bands"]["low"], "high": 9},
            f"bands.LOW: {ONE_FOLDER} bands.low in more than upper and",
        ),
        ("runs.Standard", SMOKE["runs"]["adversarial"], f"runs.Standard: {ONE_FOLDER} runs.standard in more than"),
        ("attacks.PGD", SMOKE["attacks"]["square"], f"attacks.PGD: {ONE_FOLDER} attacks.pgd in more than upper and"),
        (
            "claims.adversarial-moves-down.effect",
            "in words",
            "claims.adversarial-moves-down.effect: expected a mapping of settings, got 'in words'",
        ),
        ("training.seeds", [2**63], "training.seeds.0: expected a number less than 9223372036854775808"),
        ("dataset.seed", 2**64, "dataset.seed: expected a number less than 9223372036854775808"),
    ],
)
def test_what_the_settings_alone_decide_is_decided_before_any_work(path, value, expected):
    assert expected in message(path, value)


def test_more_threads_than_cores_are_refused_before_any_work():
    changed = copy.deepcopy(SMOKE)
    changed["training"]["threads"] = 10_000
    with pytest.raises(ValueError, match=r"params\.yaml: training\.threads: expected at most \d+, the cores of this"):
        check_files(params.validate(changed, Study, ""))


@pytest.mark.parametrize("make", [shutil.copy, os.link, os.symlink], ids=["copy", "hard link", "link"])
def test_one_file_of_weights_is_not_two_networks(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.pt").write_bytes(b"weights")
    make("a.pt", "b.pt")
    Path("c.pt").write_bytes(b"others")
    run = {**PRETRAINED, "regime": {**PRETRAINED["regime"], "weights": ["a.pt", "c.pt", "b.pt"]}}
    study = params.validate({**SMOKE, "runs": {**SMOKE["runs"], "standard": run}}, Study, "")
    with pytest.raises(ValueError, match=r"weights: expected files of different .* the same in a\.pt and b\.pt"):
        check_files(study)


def test_two_claims_of_one_name_are_refused(tmp_path):
    (tmp_path / "params.yaml").write_text("claims:\n  a: 1\n  a: 2\n")
    with pytest.raises(ValueError, match="the key 'a' twice"):
        params.read(tmp_path / "params.yaml")
