"""The stages that attack and attribute, shared between two processes, write what one process writes."""

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
from spectroscope.pipeline import io, machine, params, processes
from stages import attacks, attribution

ROOT = Path(__file__).parents[1]
SHAPE, CLASSES = (3, 32, 32), ("a", "b")
ATTACK = {"run": "standard", "attack": "pgd", "models": "models", "images": "test.parquet", "out": "attacked.parquet"}
ATTRIBUTE = {"run": "standard", "weights": "models", "images": "test.parquet", "out": "attribution"}
N = 10


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """An untrained network of two seeds, images labelled by one of them, and the toy study."""
    folder = tmp_path_factory.mktemp("shared")
    study = params.read(ROOT / "studies" / "smoke.yaml")
    study["attacks"]["pgd"]["n_images"] = study["attribution"]["n_images"] = N
    study["attribution"]["compared"]["n_images"] = 3
    study["validation"]["multiverse"] |= {"bases": ["dct"], "shapes": ["linf"]}
    (folder / "params.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    x = torch.rand(N, *SHAPE, generator=machine.generator(0))
    for seed in (0, 1):
        with torch.random.fork_rng():
            machine.seed(seed)
            network = inference.build("resnet8", SHAPE, len(CLASSES))
        with torch.no_grad():  # half of the images in each class, and close enough to the boundary for an attack
            logits = network.eval()(x)
            network[1][-1].bias[0] -= (logits[:, 0] - logits[:, 1]).median()
        io.write_weights(folder / "models" / f"seed{seed}.safetensors", network)
    labels = network(x).argmax(1)
    io.write_images(folder / "test.parquet", io.Images((x * 255).round().to(torch.uint8), labels, CLASSES))
    return folder


@pytest.fixture
def alone(workspace, monkeypatch):
    """A function that runs a stage in this process, with one thread as in each of several processes."""
    for name in ("DVC_STAGE", "DVC_ROOT", processes.COUNT, processes.LAUNCHER):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(workspace)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield lambda stage, options: stage.main(
        **{name: value if name in ("run", "attack") else Path(value) for name, value in options.items()}
    )
    torch.set_num_threads(threads)


def arguments(options):
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def environment(**changes):
    """The environment of this test run without that of a stage around it; one thread a process."""
    removed = ("DVC_STAGE", "DVC_ROOT", processes.COUNT, processes.LAUNCHER)
    inherited = {key: value for key, value in os.environ.items() if key not in removed}
    return {**inherited, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **changes}


SRUN = """#!/bin/bash
# As srun in a job: one process for each task, with the task's number; the first that fails ends the others.
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
    """The script of the job in docs/scale.md, and the environment of two tasks on a machine without SLURM."""
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


def test_attacks_in_a_slurm_job_of_two_tasks_are_those_of_one_process(workspace, alone, job, tmp_path):
    out = workspace / ATTACK["out"]
    alone(attacks, ATTACK)
    perturbations, rows, _ = io.read_arrays(out)
    out.unlink()
    text, job_environment = job
    assert text.count("dvc repro\n") == 1
    script = text.replace("dvc repro", f"python -m stages.attacks {' '.join(arguments(ATTACK))}")
    done = subprocess.run(["bash", "-c", script], cwd=workspace, env=job_environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "started").read_text() == "0\n1\n"
    shared_perturbations, shared_rows, _ = io.read_arrays(out)
    assert rows["success"].any() and len(rows) == 2 * N
    pd.testing.assert_frame_equal(rows, shared_rows, check_exact=True)
    assert torch.equal(perturbations, shared_perturbations)
    assert not list((workspace / ".checkpoints").rglob("*.safetensors"))


def test_attributions_in_two_processes_are_those_of_one(workspace, alone):
    folder = workspace / ATTRIBUTE["out"]
    alone(attribution, ATTRIBUTE)
    tables = {file.stem: io.read_table(file) for file in folder.iterdir()}
    shutil.rmtree(folder)
    command = [sys.executable, "-m", "stages.attribution", *arguments(ATTRIBUTE)]
    two = environment(**{processes.COUNT: "2"})
    done = subprocess.run(command, cwd=workspace, env=two, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert tables.keys() == {file.stem for file in folder.iterdir()} and len(tables["occluded_frequency"]) == 3 * 2 * N
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table, io.read_table(folder / f"{name}.parquet"), check_exact=True)
