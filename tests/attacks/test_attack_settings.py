"""Settings of attacks: radii of any kind of number, and refusals that name the key."""

import numpy as np
import pytest
import torch
import yaml
from attack_cases import BOUNDED, CASES, EVERY, settings_of

from spectroscope.attacks import suite
from spectroscope.attacks.settings import AttackSettings
from spectroscope.pipeline import params


@pytest.mark.parametrize(("case", "name"), BOUNDED.items())
@pytest.mark.parametrize("zero", [0, 0.0])
def test_eps_zero_returns_the_image(case, name, zero, model, data):
    outcome = suite.run(settings_of(case, **{name: zero}), model, data[0][:6], data[1][:6], seed=0)
    assert not outcome.perturbation.any() and not outcome.success.any() and not outcome.queries.any()


@pytest.mark.parametrize(("case", "name"), BOUNDED.items())
def test_eps_is_the_same_as_an_integer_and_as_a_numpy_float(case, name, model, data):
    x, labels = data[0][:6], data[1][:6]
    changes = [
        suite.run(settings_of(case, **{name: eps}), model, x, labels, seed=0).perturbation
        for eps in (1, 1.0, np.float64(1))
    ]
    assert torch.equal(changes[0], changes[1]) and torch.equal(changes[0], changes[2])


@pytest.mark.parametrize(("case", "name"), BOUNDED.items())
@pytest.mark.parametrize("bad", [-1, "8/255", float("nan"), float("inf"), True])
def test_a_bad_eps_is_refused_by_name(case, name, bad):
    with pytest.raises(ValueError, match=rf"attacks\.{case}\.{name}: .*got "):
        settings_of(case, **{name: bad})


def test_every_method_of_the_settings_is_in_the_registry_and_an_unknown_one_is_named():
    assert {case["method"] for case in CASES.values()} == set(suite.ATTACKS)
    with pytest.raises(ValueError, match=r"expected an attack among fgsm, pgd, .*, noise, got 'circle'"):
        suite.lookup("circle")


@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        ("fgsm", {"eps_255": -1}, r"attacks\.one\.eps_255: .*greater than or equal to 0, got -1"),
        ("pgd-linf", {"steps": 0}, r"attacks\.one\.steps: .*greater than or equal to 1, got 0"),
        ("pgd-linf", {"norm": "l3"}, r"attacks\.one\.norm: .*'linf', 'l2'"),
        ("pgd-l2", {"eps_255": 8}, r"attacks\.one\.eps_255: unknown setting"),
        ("pgd-l2", {"step_size": 0}, r"attacks\.one\.step_size: .*greater than 0"),
        ("simba-dct", {"max_queries": 0}, r"attacks\.one\.max_queries: .*greater than or equal to 1, got 0"),
        ("simba-dct", {"basis": "dft"}, r"attacks\.one\.basis: .*'pixel', 'dct' or 'random', got 'dft'"),
        ("nes-l2", {"samples": 5}, r"attacks\.one\.samples: .*multiple of 2, got 5"),
        ("nes-l2", {"max_queries": 0}, r"attacks\.one\.max_queries: .*greater than or equal to 1, got 0"),
        ("nes-l2", {"momentum": 1}, r"attacks\.one\.momentum: .*less than 1, got 1"),
        ("spsa-l2", {"max_queries": 0}, r"attacks\.one\.max_queries: .*greater than or equal to 1, got 0"),
        ("spsa-l2", {"norm": "l1"}, r"attacks\.one\.norm: .*'linf', 'l2', got 'l1'"),
        ("hop-skip-jump-l2", {"max_queries": 0}, r"attacks\.one\.max_queries: .*greater than or equal to 1, got 0"),
        ("hop-skip-jump-l2", {"target": "runner_up"}, r"attacks\.one\.target: unknown setting"),
        ("confined-l2", {"direction": "up"}, r"attacks\.one\.direction: .*'sign', 'l2' or 'raw', got 'up'"),
        ("confined-l2", {"bands": {}}, r"attacks\.one\.bands: expected at least 1 entry, got \{\}"),
        ("confined-l2", {"bands": {"a": {"keep": "lowest", "ratio": 0}}}, r"attacks\.one\.bands\.a\.ratio: .*got 0"),
        (
            "confined-l2",
            {"bands": {"a": {"keep": "all", "clip": True}}},
            r"attacks\.one\.bands\.a: expected clip false",
        ),
        ("fourier", {"row": -1}, r"attacks\.one\.row: .*greater than or equal to 0, got -1"),
        ("noise-l2", {"kinds": ["blue"]}, r"attacks\.one\.kinds\.0: .*'pink' or 'other_image', got 'blue'"),
        ("noise-l2", {"kinds": []}, r"attacks\.one\.kinds: expected at least 1 entry"),
        ("cw", {"n_images": 0}, r"attacks\.one\.n_images: "),
        ("fgsm", {"method": "circle"}, r"attacks\.one\.method: .*'fgsm', 'pgd', .*, 'noise', got 'circle'"),
    ],
)
def test_a_bad_setting_is_refused_with_its_key_path(case, change, message, tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump({"attacks": {"one": {**CASES[case], **change}}}))
    with pytest.raises(ValueError, match=message):
        params.load("attacks.one", AttackSettings, file)
    with pytest.raises(ValueError, match=message):
        params.load("attacks", dict[str, AttackSettings], file)


@EVERY
def test_every_setting_is_required(case):
    for name in CASES[case].keys() - {"method", "norm"}:
        rest = {key: value for key, value in CASES[case].items() if key != name}
        with pytest.raises(ValueError, match=rf"attacks\.one\.{name}: expected this setting, found none"):
            params.validate(rest, AttackSettings, "attacks.one")
