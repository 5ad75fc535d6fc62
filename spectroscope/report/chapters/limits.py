"""What the numbers of the page cannot say."""

from spectroscope.report import page
from spectroscope.report.results import Results

QUESTION = "What can this page not say?"
LIMITS = (
    "Occluded Frequency of a shell sums over all its coefficients, and higher shells hold more of them: a hump at high "
    "shells is in part their size. Compare runs at one shell rather than shells within one run.",
    "Logits have no common unit: a network with larger logits has larger curves. Centroid and high-frequency share "
    "depend on the shape of a curve alone and can be compared; they leave out DC and all negative values.",
    "An image without one of its shells is unlike anything a network was trained on, most of all without DC; and "
    "shells removed one at a time say nothing about how they act together.",
    "Share and centroid use the positive part of a curve, which noise can only enlarge: in resamples, noisier than "
    "the data, the high shells gain. Their intervals can therefore be lopsided, and a value can stand near an end "
    "of its own interval.",
    "Intervals resample seeds and images. With few seeds they are too short: in simulations, where networks differ "
    "much, nominal 95 % intervals held the truth in about 80 % of cases with three networks, in 60 % with two. None "
    "is corrected for the number of comparisons: by chance alone at least one dot in twenty would be filled.",
    "The spectrum of a perturbation carries its algorithm too: the sign in FGSM and PGD whitens it, and SimBA proposes "
    "in a basis of its own. A spectrum alone is no evidence about the network.",
)


def blocks(results: Results) -> page.Blocks:
    return (page.items(*LIMITS),)
