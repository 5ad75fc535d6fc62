"""Tables of strength that are small enough to work out by hand."""

import numpy as np
import pandas as pd
import pytest
from attack_outcomes import ALL, HALF, SETTINGS, attack, cells

from spectroscope.attack_checks import strength


def test_success_counts_among_the_images_that_were_right():
    rows = attack("pgd", [[1, 0, 0, 1], [0, 0, 0, 1]], right=[[1, 1, 0, 0], [1, 1, 0, 1]])
    table = strength.success_table(cells([rows], ("pgd", "white box", "linf", 0.1)), SETTINGS)
    assert list(table) == ["run", "attack", "kind", "norm", "eps", "l2", "queries", *strength.SUMMARY]
    assert table["mean"].tolist() == [pytest.approx(2 / 5)]
    assert table["n_images"].tolist() == [3] and table["n_seeds"].tolist() == [2]
    assert table["queries"].tolist() == [5]


def test_the_query_curve_rises_where_the_successes_come():
    rows = [attack("square", HALF, first=3), attack("pgd", ALL)]
    study = cells(rows, ("square", "black box", "linf", 0.1), ("pgd", "white box", "linf", 0.1))
    table = strength.query_table(study, SETTINGS)
    assert set(table["attack"]) == {"square"} and list(table)[3:] == strength.SUMMARY
    assert table["queries"].iloc[0] == 1 and table["queries"].iloc[-1] == 20
    assert (table["mean"] == np.where(table["queries"] < 3, 0, 0.5)).all()


def test_confined_attacks_are_compared_at_one_l2_norm():
    low, high = 1.0, 1.001  # the larger norm does not count, and a rounding error does not make a norm larger
    rows = [attack("c low", ALL, l2=low), attack("c high", ALL, l2=high * (1 + 5e-6))]
    drops = [{"run": "a", "entry": "c", "variant": band, "relied": drop} for band in ("low", "high") for drop in (1, 3)]
    for norm, eps, expected in (
        ("linf", 0.1, [["low", 1, 2, 1], ["high", 1, 2, 0]]),
        (None, None, [["low", 1, 2, 1], ["high", 1, 2, 0]]),
        ("l2", high, [["low", high, 2, 1], ["high", high, 2, 1]]),
    ):
        study = cells(rows, *((name, "confined", norm, eps) for name in ("c low", "c high")))
        table = strength.confined_table(study, pd.DataFrame(drops), SETTINGS)
        assert list(table) == ["run", "entry", "band", "norm", "l2", "relied", *strength.SUMMARY]
        assert table[["band", "l2", "relied", "mean"]].to_numpy().tolist() == expected
