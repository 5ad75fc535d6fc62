"""Settings of attacks, refusals that name the key, and entries as variants and radii."""

import numpy as np
import pytest
import yaml
from attack_cases import BOUNDED, CASES, EVERY, RADII, settings_of

from spectroscope.attacks import registry
from spectroscope.attacks.registry import AttackSettings, expand_variants, variant_label
from spectroscope.pipeline import params


def test_every_method_of_the_settings_is_in_the_registry_and_an_unknown_one_is_named():
    assert {case["method"] for case in CASES.values()} == set(registry.ATTACKS)
    with pytest.raises(ValueError, match=r"expected an attack among fgsm, pgd, .*, noise, got 'circle'"):
        registry.lookup("circle")


@EVERY
def test_every_setting_is_required(case):
    for name in CASES[case].keys() - {"method", "norm"}:
        rest = {key: value for key, value in CASES[case].items() if key != name}
        with pytest.raises(ValueError, match=rf"attacks\.one\.{name}: expected this setting, found none"):
            params.validate(rest, AttackSettings, "attacks.one")


# ---- radii


@pytest.mark.parametrize("case", BOUNDED)
def test_eps_is_the_same_as_an_integer_and_as_a_numpy_float(case):
    settings = [settings_of(case, **{RADII[case]: eps}) for eps in (1, 1.0, np.float64(1))]
    assert settings[0] == settings[1] == settings[2]
    assert all(isinstance(each.ball.eps, float) for each in settings)
    with pytest.raises(ValueError, match=rf"attacks\.{case}\.{RADII[case]}: .*got -1"):
        settings_of(case, **{RADII[case]: -1})


@pytest.mark.parametrize("case", ["fgsm", "pgd-l2"])
@pytest.mark.parametrize("bad", ["8/255", float("nan"), float("inf"), True, [], [1, -1], [1, "8/255"]])
def test_a_bad_eps_is_refused_by_name(case, bad):
    with pytest.raises(ValueError, match=rf"attacks\.{case}\.{RADII[case]}.*: .*got "):
        settings_of(case, **{RADII[case]: bad})


def test_several_radii_have_no_single_ball():
    with pytest.raises(ValueError, match=r"expected one radius, got \[1\.0, 2\.0\]"):
        _ = settings_of("fgsm", eps_255=[1, 2]).ball


# ---- variants


@pytest.mark.parametrize("choices", [["dct", "pixel"], {"dct": 1, "pixel": 2}], ids=["list", "mapping"])
def test_variants_are_attacks_of_their_own(choices, monkeypatch):
    monkeypatch.setitem(registry.ATTACKS, "simba", registry.ATTACKS["simba"]._replace(variants="basis"))
    entry = settings_of("simba-pixel", eps_255=[8, 16]).model_copy(update={"basis": choices})
    variants = [(name, [(each.basis, each.eps_255) for each in radii]) for name, radii in expand_variants(entry)]
    single = [{"dct": 1}, {"pixel": 2}] if isinstance(choices, dict) else [["dct"], ["pixel"]]
    assert variants == [(name, [(one, 8), (one, 16)]) for name, one in zip(("dct", "pixel"), single, strict=True)]


def test_an_entry_without_variants_or_radii_is_one_attack():
    for case in ("ddn", "deepfool", "pgd-l2", "cw"):
        assert expand_variants(settings_of(case)) == [("", [settings_of(case)])]


@pytest.mark.parametrize(
    ("case", "several", "label"),
    [
        ("pgd-linf", True, "low 8/255"),
        ("pgd-l2", True, "low 0.5"),
        ("pgd-linf", False, "low"),
        ("ddn", True, "low"),
    ],
)
def test_a_label_has_the_variant_and_the_radius_where_there_are_several(case, several, label):
    assert variant_label("low", settings_of(case), several) == label
    assert variant_label("", settings_of(case), several) == label.removeprefix("low").strip()


# ---- refusals


@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        ("fgsm", {"eps_255": -1}, r"attacks\.one\.eps_255: .*greater than or equal to 0, got -1"),
        ("pgd-linf", {"steps": 0}, r"attacks\.one\.steps: .*greater than or equal to 1, got 0"),
        ("pgd-linf", {"norm": "l3"}, r"attacks\.one\.norm: .*'linf', 'l2'"),
        ("pgd-linf", {"direction": "linf"}, r"attacks\.one\.direction: .*'sign', 'l2' or 'raw', got 'linf'"),
        ("pgd-linf", {"direction": "raw", "momentum": 0.5}, r"expected momentum 0 where direction is raw, got 0\.5"),
        ("pgd-l2", {"eps_255": 8}, r"attacks\.one\.eps_255: unknown setting"),
        ("pgd-l2", {"step_size": 0}, r"attacks\.one\.step_size: .*greater than 0"),
        ("ddn", {"gamma": 1.0}, r"attacks\.one\.gamma: .*less than 1, got 1"),
        ("fmn-l2", {"gamma": 1.0}, r"attacks\.one\.gamma: .*less than 1, got 1"),
        ("fmn-l2", {"relative_step": 0}, r"attacks\.one\.relative_step: .*greater than 0"),
        ("fmn-linf", {"target": "runner_up"}, r"expected n_targets null where target is runner_up, got 2"),
        ("fmn-linf", {"norm": "l1"}, r"attacks\.one\.norm: .*'linf' or 'l2', got 'l1'"),
        ("fab-l2", {"target": "runner_up"}, r"expected n_targets null where target is runner_up, got 2"),
        ("apgd-l2", {"n_targets": 3}, r"expected n_targets with the loss targeted_dlr and null else, got 3 and dlr"),
        ("apgd-t", {"target": "runner_up"}, r"expected target null where loss is targeted_dlr, got runner_up"),
        ("simba-dct", {"max_queries": 0}, r"attacks\.one\.max_queries: .*greater than or equal to 1, got 0"),
        ("simba-dct", {"basis": "dft"}, r"attacks\.one\.basis: .*'pixel', 'dct' or 'random', got 'dft'"),
        ("simba-pixel", {"freq_dims": 3}, r"attacks\.one: .*expected freq_dims null where basis is pixel"),
        ("nes-l2", {"samples": 5}, r"attacks\.one\.samples: .*multiple of 2, got 5"),
        ("nes-l2", {"max_queries": 0}, r"attacks\.one\.max_queries: .*greater than or equal to 1, got 0"),
        ("nes-l2", {"momentum": 1}, r"attacks\.one\.momentum: .*less than 1, got 1"),
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
