"""Every attack by its name: settings, function, kind, and how an entry of params.yaml becomes single attacks."""

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

from pydantic import Field
from torch import Tensor

from spectroscope.attacks import cw as carlini_wagner
from spectroscope.attacks.apgd import Apgd, apgd
from spectroscope.attacks.autoattack import Autoattack, ReducedAutoattack, autoattack, reduced_autoattack
from spectroscope.attacks.confined import Confined, confined
from spectroscope.attacks.cw import Cw, cw
from spectroscope.attacks.ddn import Ddn, ddn
from spectroscope.attacks.deepfool import Deepfool, deepfool
from spectroscope.attacks.fab import Fab, fab
from spectroscope.attacks.fgsm import Fgsm, fgsm
from spectroscope.attacks.fmn import Fmn, fmn
from spectroscope.attacks.fourier import Fourier, fourier
from spectroscope.attacks.hop_skip_jump import HopSkipJump, hop_skip_jump
from spectroscope.attacks.nes import Nes, nes
from spectroscope.attacks.noise import Noise, noise
from spectroscope.attacks.pgd import Pgd, pgd_attack
from spectroscope.attacks.simba import Simba, simba
from spectroscope.attacks.spsa import Spsa, spsa
from spectroscope.attacks.square import Square, square

AttackSettings = Annotated[
    Fgsm
    | Pgd
    | Cw
    | Ddn
    | Fmn
    | Fab
    | Deepfool
    | Apgd
    | Autoattack
    | ReducedAutoattack
    | Square
    | Simba
    | Nes
    | Spsa
    | HopSkipJump
    | Confined
    | Fourier
    | Noise,
    Field(discriminator="method"),
]


class Attack(NamedTuple):
    """An attack: a function (settings, model, x, generators) -> adversaries, and its kind.

    model: the `CountingModel` to query about images x (N, C, H, W); generators: one for each image. variants: a key of
    the settings with a list or a mapping; each of its items is an attack of its own. project: a function (settings, x,
    adversaries) -> adversaries for attacks whose search ignores the radius; the search runs once, and `project` moves
    its adversaries into the ball of each radius.
    """

    function: Callable[..., Tensor]
    kind: Literal["single step", "white box", "black box", "ensemble", "confined", "control"]
    variants: str | None = None
    project: Callable[..., Tensor] | None = None


ATTACKS: dict[str, Attack] = {
    "fgsm": Attack(fgsm, "single step"),
    "pgd": Attack(pgd_attack, "white box"),
    "cw": Attack(cw, "white box", project=carlini_wagner.project),
    "ddn": Attack(ddn, "white box"),
    "fmn": Attack(fmn, "white box"),
    "fab": Attack(fab, "white box"),
    "deepfool": Attack(deepfool, "white box", variants="bands"),
    "apgd": Attack(apgd, "white box"),
    "autoattack": Attack(autoattack, "ensemble"),
    "autoattack-reduced": Attack(reduced_autoattack, "ensemble"),
    "square": Attack(square, "black box"),
    "simba": Attack(simba, "black box"),
    "nes": Attack(nes, "black box"),
    "spsa": Attack(spsa, "black box"),
    "hop_skip_jump": Attack(hop_skip_jump, "black box"),
    "confined": Attack(confined, "confined", variants="bands"),
    "fourier": Attack(fourier, "confined"),
    "noise": Attack(noise, "control", variants="kinds"),
}
_RADII = ("eps", "eps_255")


def lookup(method: str) -> Attack:
    """The attack of this name; ValueError with the known names."""
    if method not in ATTACKS:
        raise ValueError(f"expected an attack among {', '.join(ATTACKS)}, got {method!r}")
    return ATTACKS[method]


def expand_variants(settings: AttackSettings) -> list[tuple[str, list[AttackSettings]]]:
    """An entry as single attacks: for each variant its name and its settings, one for each radius.

    Both in the order of the entry; the name is "" where the attack has no variants.
    """
    key = lookup(settings.method).variants
    choices = getattr(settings, key) if key else None
    if key is None or choices is None:
        return [("", _expand_radii(settings))]
    single = [{name: choices[name]} if isinstance(choices, dict) else [name] for name in choices]
    variants = [settings.model_copy(update={key: choice}) for choice in single]
    return [(name, _expand_radii(variant)) for name, variant in zip(choices, variants, strict=True)]


def bounded(entries: dict[str, AttackSettings]) -> list[str]:
    """The entries whose perturbations lie in a ball; the others find an adversary at some distance of any image."""
    return [name for name, entry in entries.items() if expand_variants(entry)[0][1][0].ball]


def variant_label(variant: str, settings: AttackSettings, several_radii: bool) -> str:
    """The name of a variant, with its radius where there are several: `low 8/255`."""
    key = _radius_key(settings)
    if not (several_radii and key):
        return variant
    radius = f"{getattr(settings, key):g}" + ("/255" if key == "eps_255" else "")
    return f"{variant} {radius}".strip()


def _expand_radii(settings: AttackSettings) -> list[AttackSettings]:
    key = _radius_key(settings)
    radii = getattr(settings, key) if key else None
    if key is None or not isinstance(radii, list):
        return [settings]
    return [settings.model_copy(update={key: radius}) for radius in radii]


def _radius_key(settings: AttackSettings) -> str | None:
    """`eps` or `eps_255`, None for an attack without a radius."""
    return next((key for key in _RADII if getattr(settings, key, None) is not None), None)
