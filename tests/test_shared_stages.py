"""The stages that attack and attribute, shared out between two processes, write what one process writes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from spectroscope.models import inference
from spectroscope.pipeline import io, params, processes
from spectroscope.pipeline import machine as runtime

ROOT = Path(__file__).parents[1]
SHAPE, CLASSES = (3, 32, 32), ("a", "b")
ATTACK = {"run": "standard", "attack": "pgd", "models": "models", "images": "test.parquet", "out": "attacked.parquet"}
ATTRIBUTE = {
    "run": "standard",
    "weights": "models",
    "images": "test.parquet",
    "out": "attribution",
}
N = 10


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A network of two seeds that has learned nothing, images labelled by one of them, and the toy study."""
    folder = tmp_path_factory.mktemp("shared")
    study = params.read(ROOT / "studies" / "smoke.yaml")
    study["attacks"]["pgd"]["n_images"] = study["attribution"]["n_images"] = N
    study["attribution"]["compared"]["n_images"] = N
    (folder / "params.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    x = torch.rand(N, *SHAPE, generator=runtime.generator(0))
    for seed in (0, 1):
        with torch.random.fork_rng():
            runtime.seed(seed)
            network = inference.build("resnet8", SHAPE, len(CLASSES))
        with torch.no_grad():  # as many images on either side, and close enough for an attack
            logits = network.eval()(x)
            network[1][-1].bias[0] -= (logits[:, 0] - logits[:, 1]).median()
        io.write_weights(folder / "models" / f"seed{seed}.safetensors", network)
    labels = network(x).argmax(1)
    io.write_images(folder / "test.parquet", io.Images((x * 255).round().to(torch.uint8), labels, CLASSES))
    return folder


def words(given):
    return [word for name, value in given.items() for word in (f"--{name}", value)]


def environment(**more):
    """That of this test run, without what it is told of a stage or of processes; one thread each."""
    told = ("DVC_STAGE", "DVC_ROOT", processes.COUNT, processes.LAUNCHER)
    inherited = {key: value for key, value in os.environ.items() if key not in told}
    return {**inherited, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **more}


def run(workspace, stage, given, n):
    """A stage in n processes; (exit code, stderr)."""
    command = [sys.executable, "-m", f"stages.{stage}", *words(given)]
    told = environment(**{processes.COUNT: str(n)})
    done = subprocess.run(command, cwd=workspace, env=told, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


SRUN = """#!/bin/bash
# As srun in a job: a process for each of its tasks, told its number; the first that fails ends the others.
while [[ $1 == --* ]]; do shift; done
for ((task = 0; task < SLURM_NTASKS; task++)); do
    SLURM_PROCID=$task SLURM_LOCALID=$task "$@" &
    echo "$task" >>"$(dirname "$0")/started"
done
for ((task = 0; task < SLURM_NTASKS; task++)); do
    wait -n || { code=$?; kill $(jobs -p); exit $code; }
done
"""


@pytest.fixture
def job(tmp_path):
    """What stands in the job of the documents, and the environment of a job of two tasks on a machine without SLURM."""
    (text,) = re.findall(
        r"^```bash\n#!/bin/bash\n#SBATCH.*?\n(.*?)^```", (ROOT / "docs" / "scale.md").read_text(), re.M | re.S
    )
    programs = {
        "srun": SRUN,
        "hostname": "#!/bin/sh\necho 127.0.0.1\n",
        "python": f'#!/bin/sh\nexec {sys.executable} "$@"\n',
    }
    for name, content in programs.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    slurm = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    return text, environment(PATH=path, **slurm)


def test_attacks_are_the_same_row_by_row(workspace, job, tmp_path):
    found = []
    for n in (1, 2, "srun"):
        if n == "srun":
            text, told = job
            assert text.count("dvc repro\n") == 1
            script = text.replace("dvc repro", f"python -m stages.attacks {' '.join(words(ATTACK))}")
            done = subprocess.run(["bash", "-c", script], cwd=workspace, env=told, capture_output=True, text=True)
            code, error = done.returncode, done.stderr
            assert (tmp_path / "started").read_text() == "0\n1\n"
        else:
            code, error = run(workspace, "attacks", ATTACK, n)
        assert code == 0, error
        found.append(io.read_arrays(workspace / "attacked.parquet"))
        (workspace / "attacked.parquet").unlink()
    one, rows, _ = found[0]
    assert rows["success"].any() and len(rows) == 2 * N
    for other, again, _ in found[1:]:
        pd.testing.assert_frame_equal(rows, again, check_exact=True)
        assert torch.equal(one, other)
    assert not list((workspace / ".checkpoints").rglob("*.safetensors"))


def test_attributions_are_the_same_row_by_row(workspace):
    found = []
    for n in (1, 2):
        code, error = run(workspace, "attribution", ATTRIBUTE, n)
        assert code == 0, error
        folder = workspace / "attribution"
        found.append({file.stem: io.read_table(file) for file in sorted(folder.iterdir())})
        shutil.rmtree(folder)
    one, two = found
    assert one.keys() == two.keys() and len(one["occluded_frequency"]) == 2 * N
    for name in one:
        pd.testing.assert_frame_equal(one[name], two[name], check_exact=True)


def test_images_at_once_leave_no_process_without_any(monkeypatch):
    assert processes.batch_per_process(10, 64) == 10 and processes.batch_per_process(100, 64) == 64
    monkeypatch.setattr(processes, "world", lambda: 4)
    assert (
        processes.batch_per_process(10, 64) == 3
        and processes.batch_per_process(4, 64) == 1
        and processes.batch_per_process(1000, 64) == 64
    )
    with pytest.raises(ValueError, match="expected at least 4 images, one a process, got 3"):
        processes.batch_per_process(3, 64)
