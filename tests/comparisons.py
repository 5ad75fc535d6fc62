"""Small studies with results, in folders and in git repositories, for the tests of `spectroscope compare`."""

import copy
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from spectroscope.pipeline import files

SETTINGS: dict[str, Any] = {
    "dataset": {"name": "photos", "seed": 0},
    "runs": {"plain": {"band": "full", "regime": {"name": "standard"}, "model": "resnet8"}},
    "training": {"seeds": [0, 1, 2], "epochs": 6},
    "attacks": {
        "pgd": {"method": "pgd", "eps_255": 8, "n_images": 300},
        "noise": {"method": "noise", "kinds": ["sign"]},
    },
    "attribution": {"images": "all"},
    "statistics": {"confidence": 0.95},
    "findings": {"attack": "pgd"},
}
ENDS = {"low": 0.1, "high": 0.9, "n_images": 300, "n_seeds": 3}
CLAIM = {
    "claim": "high",
    "verdict": "supported",
    "mean": 0.45,
    "low": 0.3,
    "high": 0.6,
    "margin": 0.2,
    "n_networks": 3,
    "n_images": 120,
    "control_low": -0.1,
    "control_high": 0.1,
    "void": "",
    "unit": "log ratio",
    "says": "PGD lies in high shells",
}


def settings(**changes: Any) -> dict[str, Any]:
    """SETTINGS with other values, keys dotted: `{"training.epochs": 5}`."""
    changed = copy.deepcopy(SETTINGS)
    for path, value in changes.items():
        *parents, key = path.split(".")
        section = changed
        for parent in parents:
            section = section[parent]
        section[key] = value
    return changed


def write(
    folder: Path,
    content: dict[str, Any] | None = None,
    pgd: tuple[float, ...] = (0.5, 0.6, 0.7),
    centroid: dict[str, Any] | None = None,
    claims: list[dict[str, Any]] | None = None,
    accuracy: dict[str, Any] | None = None,
) -> Path:
    """A study's settings and tables: clean .9, `pgd` by network, a centroid of 6, a curve of three shells."""
    content = SETTINGS if content is None else content
    networks = " ".join(f"{value:.4g}" for value in pgd)
    attacked = {"mean": sum(pgd) / len(pgd), **ENDS, "n_seeds": len(pgd), "networks": networks} | (accuracy or {})
    clean = {"mean": 0.9, **ENDS, "networks": "0.9 0.9 0.9"}
    rows = [{"run": "plain", "attack": name, "clean": 0.9, **clean} for name in ("clean", "noise sign")]
    rows.insert(1, {"run": "plain", "attack": "pgd", "clean": 0.9, **attacked})
    middle = {"run": "plain", "score": "margin", "statistic": "centroid", "marked": False, "n_missing": 0}
    middle |= {"mean": 6.0, **ENDS, "networks": "5 6 7"} | (centroid or {})
    curve = [
        {"run": "plain", "score": "probability", "shell": shell, "at_chance": False, "mean": 0.1 * shell, **ENDS}
        for shell in range(3)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    tables = {"accuracy": rows, "reliance": [middle], "occluded_frequency": [{**row, "networks": "1"} for row in curve]}
    for name, table in tables.items():
        files.write_table(folder / "reports" / "tables" / f"{name}.csv", pd.DataFrame(table))
    if claims is not None:
        files.write_table(folder / "reports" / "tables" / "claims.csv", pd.DataFrame(claims))
    return folder


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path, message: str = "results") -> str:
    """Everything in the folder, a repository from now on; gives the hash."""
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD")
