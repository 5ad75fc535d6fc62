"""The public functions of spectroscope: tensors or arrays in, tensors or numbers out, nothing read or written.

Images are float tensors (N, C, H, W) with pixels in [0, 1]; a model is any callable from images to logits (N, classes).

>>> import torch
>>> from spectroscope.api import occluded_frequency, shells
>>> images, labels = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 0, 1])
>>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
>>> occluded_frequency(model, images, labels, shells(8, 8)).shape  # one drop of the logit for each image and shell
torch.Size([4, 8])
"""

from spectroscope.attacks.pgd import pgd
from spectroscope.attribution.gradients import integrated_gradients
from spectroscope.attribution.heat_map import fourier_heat_map
from spectroscope.attribution.occlusion import occluded_frequency
from spectroscope.attribution.sampled_heat_map import sampled_heat_map
from spectroscope.attribution.shapley import band_shapley
from spectroscope.frequency.partitions import equal_width
from spectroscope.frequency.passbands import band_filter
from spectroscope.frequency.spectrum import dct2, idct2, shells
from spectroscope.perturbation.rct import rct_map
from spectroscope.probing.layers import spectrum_by_layer
from spectroscope.statistics.intervals import difference_interval, mean_interval

__all__ = [
    "band_filter",
    "band_shapley",
    "dct2",
    "difference_interval",
    "equal_width",
    "fourier_heat_map",
    "idct2",
    "integrated_gradients",
    "mean_interval",
    "occluded_frequency",
    "pgd",
    "rct_map",
    "sampled_heat_map",
    "shells",
    "spectrum_by_layer",
]
