"""Which of its claims does the study support?"""

from spectroscope.claims import verdicts
from spectroscope.claims.settings import Claims
from spectroscope.findings.settings import FindingsSettings
from spectroscope.pipeline import files, params  # not io, whose images and weights import torch
from spectroscope.pipeline.supervision import start
from spectroscope.statistics import cells
from spectroscope.statistics.estimates import StatisticsSettings
from stages import In, Out


def main(
    findings: In, attack_checks: In, perturbation: In, probing: In, validation: In, out: Out, headline: Out
) -> None:
    claims = params.load("claims", Claims)
    statistics = params.load("statistics", StatisticsSettings)
    quality = params.load("findings", FindingsSettings)
    behind = cells.read([findings, attack_checks, perturbation, probing, validation])

    clean, _ = behind["accuracy"][quality.reference, "clean"]
    weak = quality.floor is not None and bool(clean.by_network.mean() < quality.floor)
    judged = verdicts.table(claims, behind, statistics).assign(weak=weak)
    verdict = dict(zip(judged["claim"], judged["verdict"], strict=True))

    files.write_table(out, judged)
    files.write_json(headline, {"claims": verdict, "networks_too_weak": weak})


if __name__ == "__main__":
    start(main)
