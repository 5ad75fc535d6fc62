"""What the numbers of the page cannot say."""

from spectroscope.report import page
from spectroscope.report.results import Results

QUESTION = "What can this page not say?"
LIMITS = (
    "Higher shells hold more coefficients: a hump of Occluded Frequency there is in part their size. Amounts are "
    "compared in probability; logits, the paper's score, have no unit that networks share.",
    "Centroid and high-frequency share leave out DC and all negative values. Noise can only enlarge the positive part, "
    "most at high shells: intervals can be lopsided, and a value can stand near an end of its own interval.",
    "An image without one of its shells is unlike anything a network was trained on, most of all without DC; and "
    "shells removed one at a time say nothing about how they act together.",
    "Intervals are over networks and images alike: other seeds and other images of the same kind. One network has an "
    "interval over images, for itself alone; two have none. None but a claim's is corrected for the number of "
    "comparisons: by chance alone one dot in twenty would be filled.",
    "The spectrum of a perturbation carries its algorithm too: the sign in FGSM and PGD whitens it, and SimBA proposes "
    "in a basis of its own. A spectrum alone is no evidence about the network.",
)


def blocks(results: Results) -> page.Blocks:
    return (page.items(*LIMITS),)
