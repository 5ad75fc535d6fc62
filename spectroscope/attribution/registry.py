"""The attribution methods by name; each is computed for the same images, bands, basis and score."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from spectroscope.attribution import gradients, heat_map, margins, masks, occlusion, shapley
from spectroscope.attribution.task import Attribution, Task

MethodSettings = Annotated[
    occlusion.OccludedSettings
    | occlusion.KeptSettings
    | shapley.ShapleySettings
    | shapley.SampledShapleySettings
    | gradients.GradientSettings
    | gradients.GradientTimesCoefficientSettings
    | gradients.IntegratedGradientsSettings
    | gradients.SmoothGradSettings
    | heat_map.HeatMapSettings
    | heat_map.FourierAttackSettings
    | masks.LearnedMaskSettings
    | margins.MarginSettings,
    Field(discriminator="method"),
]

METHODS: dict[str, Callable[[Task, Any], Attribution]] = {
    "occluded": occlusion.occluded,
    "kept": occlusion.kept,
    "shapley": shapley.shapley,
    "sampled_shapley": shapley.sampled_shapley,
    "gradient": gradients.gradient,
    "gradient_x_coefficient": gradients.gradient_x_coefficient,
    "integrated_gradients": gradients.integrated,
    "smooth_grad": gradients.smooth_grad,
    "heat_map": heat_map.heat_map,
    "fourier_attack": heat_map.fourier_attack,
    "learned_mask": masks.learned_mask,
    "margin": margins.margin,
}


def lookup(name: str) -> Callable[[Task, Any], Attribution]:
    """The method of this name; ValueError with the known names."""
    if name not in METHODS:
        raise ValueError(f"expected a method among {', '.join(METHODS)}, got {name!r}")
    return METHODS[name]


def attribute(task: Task, settings: MethodSettings) -> Attribution:
    """The attribution of a network by the method `settings.method`."""
    return lookup(settings.method)(task, settings)
