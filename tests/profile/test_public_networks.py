"""The public networks that a profile is set beside are those of the committed study."""

import pandas as pd
import pytest

from scripts import public_networks
from spectroscope.pipeline import io
from spectroscope.profile import page

ENDS = {"low": 0.0, "high": 1.0}


def test_the_table_is_what_the_committed_study_says():
    path = public_networks.ROOT / public_networks.OUT
    assert path.read_text() == public_networks.text(), "run: python -m scripts.public_networks"
    assert set(page.public_networks()["network"]) == set(public_networks.TRAINING)


def study(root, run):
    accuracy = [{"run": run, "attack": "clean", "mean": 0.9}, {"run": run, "attack": "pgd 2/255", "mean": 0.25}]
    lost = [
        {"run": run, "band": band, "change": change, "measure": measure, "mean": mean}
        for change, measure, means in (("without", "accuracy", (0.1, 0.2, 0.3)), ("only", "accuracy", (0.7, 0.8, 0.9)),
                                       ("without", "probability", (0.4, 0.5, 0.6)))
        for band, mean in zip(("low", "middle", "high"), means, strict=True)
    ]  # fmt: skip
    for name, rows in (("accuracy", accuracy), ("band_loss", lost)):
        io.write_table(root / public_networks.STUDY / f"{name}.csv", pd.DataFrame(rows).assign(**ENDS))


def test_a_row_has_the_accuracies_and_what_is_lost_without_a_band(tmp_path):
    study(tmp_path, "resnet2b")
    head = "network,training,accuracy,pgd_2_255,low,middle,high\n"
    assert public_networks.text(tmp_path) == f"{head}resnet2b,PGD 2/255,0.9,0.25,0.1,0.2,0.3\n"


def test_a_network_whose_training_is_not_known_is_refused(tmp_path):
    study(tmp_path, "new")
    with pytest.raises(KeyError, match="new"):
        public_networks.text(tmp_path)
