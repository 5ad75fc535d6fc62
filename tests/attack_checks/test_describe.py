"""What kind of attack each variant is."""

from pathlib import Path

import pytest
import yaml

from spectroscope.attack_checks.describe import describe
from spectroscope.attacks.registry import AttackSettings
from spectroscope.pipeline import params

STUDY = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())


@pytest.mark.parametrize(
    ("attack", "kind"),
    [
        ("pgd", "white box"),
        ("square", "black box"),
        ("autoattack-reduced", "ensemble"),
        ("noise-l2 pink", "control"),
        ("confined low", "confined"),
        ("confined all", "white box"),  # nothing is forbidden: plain PGD
        ("confined-64 all", "confined"),
    ],
)
def test_an_attack_is_confined_where_a_coefficient_is_forbidden(attack, kind):
    table = describe(params.validate(STUDY["attacks"], dict[str, AttackSettings], "attacks"))
    assert table.set_index("attack")["kind"][attack] == kind
