"""CONTRIBUTING.md is followed word by word in a copy of the package, and what was added works."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
BLOCK = re.compile(r"^```(python|diff)\n# (\S+)\n(.*?)^```", re.M | re.S)


def followed(section: str, folder: Path) -> Path:
    """A copy of the package with the files written and the lines added that the section shows."""
    shutil.copytree(ROOT / "spectroscope", folder / "spectroscope", ignore=shutil.ignore_patterns("__pycache__"))
    (part,) = (text for text in re.split(r"^## ", TEXT, flags=re.M) if text.startswith(section))
    blocks = BLOCK.findall(part)
    assert {kind for kind, _, _ in blocks} == {"python", "diff"}
    for kind, path, content in blocks:
        file = folder / path
        file.write_text(content if kind == "python" else edited(file.read_text(), content))
    return folder


def edited(text: str, diff: str) -> str:
    """`text` with a diff applied: a context line says where, `-` takes a line away, `+` adds one after it."""
    lines, place = text.split("\n"), -1
    for line in diff.rstrip("\n").split("\n"):
        sign, content = line[0], line[1:]
        if sign == "+":
            place += 1
            lines.insert(place, content)
        else:
            place = lines.index(content)
            if sign == "-":
                del lines[place]
                place -= 1
    return "\n".join(lines)


CASES = {
    "Add an attack": """
        import torch
        from spectroscope.attacks import registry, runner
        from spectroscope.pipeline.params import validate
        settings = validate(
            {"method": "fade", "norm": "linf", "n_images": 3, "eps_255": 51}, registry.AttackSettings, "attacks.fade"
        )
        x = torch.tensor([0.1, 0.45, 0.9])[:, None, None, None].expand(3, 1, 4, 4).clone()
        model = lambda x: torch.stack([0.5 - x.mean((1, 2, 3)), x.mean((1, 2, 3)) - 0.25], 1)
        outcome = runner.run(settings, model, x, torch.tensor([0, 1, 1]), seed=0)
        assert outcome.success.tolist() == [False, False, False] and outcome.queries.tolist() == [0, 0, 0]
        print(sorted(registry.ATTACKS)[-8:])
    """,
    "Add an attribution method": """
        import torch
        from spectroscope.attribution import registry
        from spectroscope.attribution.task import Task
        from spectroscope.frequency.partitions import partition
        from spectroscope.pipeline.params import validate
        settings = validate({"method": "energy"}, registry.MethodSettings, "attribution.methods.energy")
        index = partition(8, 8, "linf", None, "dct")
        images = torch.full((2, 1, 8, 8), 0.5)
        task = Task(lambda x: x.flatten(1), images, torch.tensor([0, 1]), "dct", index, index, "logit", 0, 4)
        values = registry.attribute(task, settings).values
        torch.testing.assert_close(values[:, 0], torch.full((2,), 16.0))
        assert values[:, 1:].abs().max() < 1e-9
    """,
    "Add a data set": """
        from spectroscope.dataset import registry
        from spectroscope.pipeline.params import validate
        settings = validate({"name": "stripes", "n": 10, "size": 8, "seed": 0}, registry.DatasetSettings, "dataset")
        dataset = registry.load(settings)
        assert dataset.train.pixels.shape == (10, 1, 8, 8) and dataset.test.classes == ("across", "down")
        assert dataset.train.labels.bincount().tolist() == [5, 5]
    """,
}


@pytest.mark.parametrize("section", CASES)
def test_a_section_can_be_followed(section, tmp_path):
    lines = CASES[section].strip("\n").split("\n")
    program = "\n".join(line[8:] for line in lines)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=followed(section, tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("section", CASES)
def test_a_section_has_about_ten_lines_beside_its_code(section):
    (part,) = (text for text in re.split(r"^## ", TEXT, flags=re.M) if text.startswith(section))
    assert len([line for line in re.sub(r"^```.*?^```", "", part, flags=re.M | re.S).splitlines() if line.strip()]) <= 10
