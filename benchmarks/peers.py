"""The same attacks in other libraries, at the same settings, where they are installed.

Each is a function (network, x, labels, settings) -> adversaries; settings are those of `spectroscope.attacks`.
"""

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Peer = Callable[[nn.Module, Tensor, Tensor, Any], Tensor]
MODULES = {"advertorch": "advertorch", "torchattacks": "torchattacks", "foolbox": "foolbox", "ART": "art"}


def installed() -> list[str]:
    """The libraries that are installed; prints the names of those that are not."""
    missing = [name for name, module in MODULES.items() if importlib.util.find_spec(module) is None]
    if missing:
        print(f"not installed, left out: {', '.join(missing)}")
    return [name for name in MODULES if name not in missing]


def versions(libraries: list[str]) -> str:
    """Name and version of each."""
    names = {"ART": "adversarial-robustness-toolbox"}
    return ", ".join(f"{name} {importlib.metadata.version(names.get(name, name))}" for name in libraries)


def _advertorch() -> Any:
    sys.modules["torch.autograd.gradcheck"].zero_gradients = None  # torch lacks it since 1.9
    import advertorch.attacks

    return advertorch.attacks


def _advertorch_pgd(network, x, labels, settings):
    loss = nn.CrossEntropyLoss(reduction="sum")
    attack = {"linf": _advertorch().LinfPGDAttack, "l2": _advertorch().L2PGDAttack}[settings.norm](
        network, loss, settings.ball.eps, settings.steps, settings.step_size, settings.random_start
    )
    return attack.perturb(x, labels)


def _torchattacks_pgd(network, x, labels, settings):
    import torchattacks

    attack = {"linf": torchattacks.PGD, "l2": torchattacks.PGDL2}[settings.norm]
    return attack(network, settings.ball.eps, settings.step_size, settings.steps, settings.random_start)(x, labels)


def _foolbox(network, x, labels, attack, eps):
    import foolbox

    return attack(foolbox.PyTorchModel(network, bounds=(0, 1)), x, labels, epsilons=eps)[1]


def _foolbox_pgd(network, x, labels, settings):
    import foolbox

    attack = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}[settings.norm](
        abs_stepsize=settings.step_size, steps=settings.steps, random_start=settings.random_start
    )
    return _foolbox(network, x, labels, attack, settings.ball.eps)


def _torchattacks_fgsm(network, x, labels, settings):
    import torchattacks

    return torchattacks.FGSM(network, settings.ball.eps)(x, labels)


def _foolbox_fgsm(network, x, labels, settings):
    import foolbox

    return _foolbox(network, x, labels, foolbox.attacks.LinfFastGradientAttack(), settings.ball.eps)


def _foolbox_deepfool(network, x, labels, settings):
    import foolbox

    classes = network(x[:1]).shape[1]
    attack = foolbox.attacks.L2DeepFoolAttack(steps=settings.steps, candidates=classes, overshoot=settings.overshoot)
    return _foolbox(network, x, labels, attack, None)


def _torchattacks_apgd(network, x, labels, settings):
    import torchattacks

    loss = {"cross_entropy": "ce", "dlr": "dlr"}[settings.loss]
    return torchattacks.APGD(network, "Linf", settings.ball.eps, settings.steps, loss=loss)(x, labels)


def _torchattacks_square(network, x, labels, settings):
    import torchattacks

    attack = torchattacks.Square(
        network, "Linf", settings.ball.eps, settings.max_queries, p_init=settings.first_share, seed=0
    )
    return attack(x, labels)


def _advertorch_cw(network, x, labels, settings):
    attack = _advertorch().CarliniWagnerL2Attack(
        network,
        network(x[:1]).shape[1],
        settings.confidence,
        learning_rate=settings.learning_rate,
        binary_search_steps=settings.search_steps,
        max_iterations=settings.steps,
        initial_const=settings.initial_const,
    )
    return attack.perturb(x, labels)


def _foolbox_cw(network, x, labels, settings):
    """Its black image, which stands for no adversary and which some networks misclassify, becomes the image itself."""
    import foolbox

    attack = foolbox.attacks.L2CarliniWagnerAttack(
        settings.search_steps,
        settings.steps,
        settings.learning_rate,
        settings.confidence,
        settings.initial_const,
    )
    adversaries = _foolbox(network, x, labels, attack, None)
    return torch.where(adversaries.flatten(1).any(1)[:, None, None, None], adversaries, x)


def _foolbox_ddn(network, x, labels, settings):
    import foolbox

    attack = foolbox.attacks.DDNAttack(init_epsilon=settings.initial_norm, steps=settings.steps, gamma=settings.gamma)
    return _foolbox(network, x, labels, attack, None)


def _torchattacks_fab(network, x, labels, settings):
    """As a user calls it: of several targets, each image keeps the first that fools it, near or far."""
    return _fab(network, x, settings)(x, labels)


def _torchattacks_fab_every_target(network, x, labels, settings):
    """The nearest adversary over all targets, as in our FAB."""
    attack, nearest, distance = _fab(network, x, settings), x.clone(), x.new_full((len(x),), torch.inf)
    for rank in range(2, settings.n_targets + 2):
        attack.target_class = rank  # among the logits, the largest of which has rank 1
        adversaries = attack.attack_single_run_targeted(x, labels)
        length = (adversaries - x).flatten(1).norm(p={"linf": torch.inf, "l2": 2}[settings.norm], dim=1)
        better = (network(adversaries).argmax(1) != labels) & (length < distance)
        nearest[better], distance[better] = adversaries[better], length[better]
    return nearest


def _fab(network, x, settings):
    import torchattacks

    norm = {"linf": "Linf", "l2": "L2"}[settings.norm]
    targets = settings.n_targets or network(x[:1]).shape[1] - 1
    return torchattacks.FAB(
        network, norm, 1e3, settings.steps, multi_targeted=settings.n_targets is not None, n_classes=targets + 1
    )


def _art_simba(network, x, labels, settings):
    from art.attacks.evasion import SimBA
    from art.estimators.classification import PyTorchClassifier

    classes = network(x[:1]).shape[1]
    probabilities = nn.Sequential(network, nn.Softmax(1))
    classifier = PyTorchClassifier(
        probabilities, nn.NLLLoss(), tuple(x.shape[1:]), classes, clip_values=(0.0, 1.0), device_type="cpu"
    )
    # one query before, then at most two for each iteration
    attack = SimBA(
        classifier,
        "dct",
        max_iter=(settings.max_queries - 1) // 2,
        epsilon=settings.step_size,
        freq_dim=x.shape[-1],
        stride=1,
        verbose=False,
    )
    return torch.from_numpy(attack.generate(x.numpy(), nn.functional.one_hot(labels, classes).numpy()))


PEERS: dict[str, dict[str, Peer]] = {
    "fgsm": {"torchattacks": _torchattacks_fgsm, "foolbox": _foolbox_fgsm},
    "pgd": {"advertorch": _advertorch_pgd, "torchattacks": _torchattacks_pgd, "foolbox": _foolbox_pgd},
    "apgd": {"torchattacks": _torchattacks_apgd},
    "square": {"torchattacks": _torchattacks_square},
    "cw": {"foolbox": _foolbox_cw, "advertorch": _advertorch_cw},
    "ddn": {"foolbox": _foolbox_ddn},
    "deepfool": {"foolbox": _foolbox_deepfool},
    "fab": {
        "torchattacks": _torchattacks_fab,
        "torchattacks, every target": _torchattacks_fab_every_target,
    },
    "simba": {"ART": _art_simba},
}
