"""Write the public networks that a profile is set beside: `python -m scripts.public_networks`.

They come from the committed tables of their study. The result is `spectroscope/profile/public_networks.csv`: a row for
each network, accuracy on clean images and under PGD in l-inf 2/255, accuracy lost without all low, middle, high shells.
"""

import csv
from io import StringIO
from pathlib import Path

from spectroscope.pipeline.files import read_table, write_text

ROOT = Path(__file__).parents[1]
STUDY = Path("docs/public-cifar10")
OUT = Path("spectroscope/profile/public_networks.csv")
BANDS = ("low", "middle", "high")
# How each was trained, by its author's word (docs/studies.md, "Public networks"): no table of the study says it.
TRAINING = {
    **dict.fromkeys(("resnet20", "resnet32", "resnet44", "resnet56", "marabou_large"), "standard"),
    **dict.fromkeys(("resnet2b", "resnet4b", "cnn_a_adv"), "PGD 2/255"),
    "cnn_a_mix": "PGD and certified, 2/255",
    **dict.fromkeys(("base", "deep", "wide"), "certified, 2/255"),
}


def text(root: Path = ROOT) -> str:
    """The table as CSV, networks in the order of the study; KeyError for a network whose training is not known here."""
    accuracy = read_table(root / STUDY / "accuracy.csv").set_index(["run", "attack"])["mean"]
    lost = read_table(root / STUDY / "band_loss.csv")
    lost = lost[(lost["change"] == "without") & (lost["measure"] == "accuracy")].set_index(["run", "band"])["mean"]
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["network", "training", "accuracy", "pgd_2_255", *BANDS])
    for run in accuracy.index.unique("run"):
        numbers = [accuracy[run, "clean"], accuracy[run, "pgd 2/255"], *(lost[run, band] for band in BANDS)]
        writer.writerow([run, TRAINING[run], *(f"{number:g}" for number in numbers)])
    return out.getvalue()


def main() -> None:
    write_text(ROOT / OUT, text())
    print(f"wrote {OUT}")


if __name__ == "__main__":
    main()
