"""Settings that differ between revisions."""

import yaml
from comparisons import settings

from spectroscope.compare.settings import ABSENT, changes


def test_settings_that_differ_have_their_dotted_key_and_a_value_for_each_revision():
    found = changes([settings(), settings(**{"training.epochs": 5, "attacks.pgd.eps_255": 4}), settings()])
    assert found == {"training.epochs": [6, 5, 6], "attacks.pgd.eps_255": [8, 4, 8]}


def test_comments_order_and_how_a_number_is_written_are_no_differences():
    one, other = "a: {b: 1, c: [0.5, 2]}\nd: x  # why\n", "d: 'x'\na:\n  c: [5.0e-1, 2.0]\n  b: 1.0\n"
    assert changes([yaml.safe_load(one), yaml.safe_load(other)]) == {}


def test_true_is_not_one_and_null_is_not_absent():
    assert changes([{"a": 1, "b": [1], "c": None}, {"a": True, "b": [True]}]) == {
        "a": [1, True],
        "b": [[1], [True]],
        "c": [None, ABSENT],
    }


def test_a_mapping_that_a_revision_lacks_is_one_key():
    without = settings()
    pgd = without["attacks"].pop("pgd")
    assert changes([without, settings()]) == {"attacks.pgd": [ABSENT, pgd]}
