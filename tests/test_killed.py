"""Stage and dvc killed at random moments, `dvc repro` after each: the weights are those of a run left alone."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from spectroscope import checkpoint, io, params

ROOT = Path(__file__).parents[1]
PIPELINE = """
stages:
  train:
    cmd: python -m stages.train --run standard --images train.parquet --out models
    params: [runs.standard, training, judge]
    deps: [train.parquet]
    outs: [models]
"""


@pytest.fixture
def project(tmp_path):
    """A folder with one stage, that trains a small network in several epochs and two seeds, under dvc."""
    study = params.read(ROOT / "studies" / "smoke.yaml")
    study["training"] |= {"seeds": [0, 1], "epochs": 20, "batch_size": 8}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (64, 3, 32, 32), generator=random).to(torch.uint8)
    io.write_images(tmp_path / "train.parquet", io.Images(pixels, torch.arange(64) % 2, ("a", "b")), source="noise")
    for name in ("stages", "spectroscope"):
        (tmp_path / name).symlink_to(ROOT / name)
    dvc(tmp_path, "init", "--no-scm", "--quiet").communicate()
    return tmp_path


def dvc(folder, *words, shell="/bin/bash"):
    """A dvc that runs; bash takes the stage's place, sh stands between the two."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"}
    environment |= {checkpoint.SECONDS: "0.5", "SHELL": shell}
    return subprocess.Popen(
        ["dvc", *words], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def saved(folder):
    """When a checkpoint was last written."""
    return max((file.stat().st_mtime_ns for file in folder.glob(".checkpoints/train/*/*.safetensors")), default=0)


def stage_of(process):
    """The Python process of the stage, below dvc and perhaps a shell."""
    (child,) = map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()[-1:])
    words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
    return child if b"stages.train" in words else stage_of(child)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_dvc_repro_after_any_kill_ends_with_the_weights_of_a_run_left_alone(project, tmp_path):
    chance = random.Random(0)
    for who, shell in (("stage", "/bin/bash"), ("dvc", "/bin/sh"), ("both", "/bin/bash")):
        before = saved(project)
        process = dvc(project, "repro", shell=shell)
        while saved(project) == before:
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.5))
        stage = stage_of(process.pid)
        if who in ("stage", "both"):
            os.kill(stage, signal.SIGKILL)
        if who in ("dvc", "both"):
            process.kill()
        process.communicate()
        while Path(f"/proc/{stage}").exists():  # it ends with its dvc
            time.sleep(0.02)
        assert not (project / "dvc.lock").exists()
    last = dvc(project, "repro")
    told, _ = last.communicate()
    assert last.returncode == 0, told
    resumed = {file.name: file.read_bytes() for file in (project / "models").glob("*.safetensors")}
    shutil.rmtree(project / ".checkpoints")
    whole = dvc(project, "repro", "--force")
    told, _ = whole.communicate()
    assert whole.returncode == 0, told
    assert resumed == {file.name: file.read_bytes() for file in (project / "models").glob("*.safetensors")}
    assert len(resumed) == 2
    (project / "models" / "seed0.safetensors").unlink()
    cached = dvc(project, "repro")  # the run-cache knows the stage
    assert "train" in cached.communicate()[0] and (project / "models" / "seed0.safetensors").exists()
