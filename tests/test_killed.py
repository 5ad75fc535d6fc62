"""Stage, processes and dvc killed at random moments and begun again: the weights are those of a run left alone."""

import multiprocessing
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

from spectroscope.pipeline import checkpoint, io, params
from tests import members

ROOT = Path(__file__).parents[1]
PIPELINE = """
stages:
  training:
    cmd: python -m stages.training --run standard --images train.parquet --out models
    params: [runs.standard, training]
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
    pixels = torch.randint(0, 256, (64, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
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
    return max((file.stat().st_mtime_ns for file in folder.glob(".checkpoints/training/*/*.safetensors")), default=0)


def weights(folder):
    """Bytes of each weights file."""
    return {file.name: file.read_bytes() for file in (folder / "models").glob("*.safetensors")}


def children(process):
    return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def ended(process):
    """Whether it runs no more, though its parent may not have asked for its exit code yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def until_ended(*processes):
    while not all(map(ended, processes)):
        time.sleep(0.01)


def stage_of(process):
    """The Python process of the stage, below dvc and perhaps a shell."""
    (child,) = children(process)[-1:]
    words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
    return child if b"stages.training" in words else stage_of(child)


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


@LINUX
def test_dvc_repro_after_any_kill_ends_with_the_weights_of_a_run_left_alone(project):
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
        until_ended(stage)  # it ends with its dvc
        assert not (project / "dvc.lock").exists()
    last = dvc(project, "repro")
    told, _ = last.communicate()
    assert last.returncode == 0, told
    resumed = weights(project)
    shutil.rmtree(project / ".checkpoints")
    whole = dvc(project, "repro", "--force")
    told, _ = whole.communicate()
    assert whole.returncode == 0, told
    assert resumed == weights(project) and len(resumed) == 2
    (project / "models" / "seed0.safetensors").unlink()
    cached = dvc(project, "repro")  # the run-cache knows the stage
    assert "training" in cached.communicate()[0] and (project / "models" / "seed0.safetensors").exists()


# ---- without dvc, which is slow to start: more kills, of one process and of two


@pytest.fixture
def begin(project):
    """A function that begins the stage in so many processes; those of Python come from one that has torch loaded."""
    study = params.read(project / "params.yaml")
    study["training"]["epochs"] = 6  # 48 batches for each seed, all of them saved but in the run left alone
    (project / "params.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.members", "stages.training"])

    def started(count, seconds="0"):
        life = context.Process(target=members.train_stage, args=(project, count, seconds))
        life.start()
        return life

    return started


def at_some_moment(project, life, chance):
    """Wait for a few checkpoints, and then a little: the next may be under way."""
    for _ in range(chance.randrange(1, 6)):
        before = saved(project)
        while saved(project) == before:
            assert life.exitcode is None
            time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.02))


def left_alone(project, begin, count):
    """The weights of a run that nobody disturbs, begun from nothing."""
    assert not list(project.glob(".checkpoints/training/*"))
    shutil.rmtree(project / "models")
    life = begin(count, seconds="1000")
    life.join()
    assert life.exitcode == 0
    return weights(project)


@LINUX
def test_a_stage_killed_ten_times_ends_with_the_weights_of_a_run_left_alone(project, begin):
    chance = random.Random(1)
    for _ in range(10):
        life = begin(1)
        at_some_moment(project, life, chance)
        life.kill()
        life.join()
        assert life.exitcode == -signal.SIGKILL
        assert len(list(project.glob(".checkpoints/training/*"))) == 1  # all of them at the same work
    life = begin(1)
    life.join()
    assert life.exitcode == 0
    resumed = weights(project)
    assert resumed == left_alone(project, begin, 1) and len(resumed) == 2


@LINUX
def test_two_processes_of_which_any_is_killed_end_with_the_weights_of_two_left_alone(project, begin):
    chance = random.Random(2)
    for who in ("one", "launcher", "all"):
        launcher = begin(2)
        at_some_moment(project, launcher, chance)
        both = children(launcher.pid)
        assert len(both) == 2
        if who in ("launcher", "all"):
            launcher.kill()
        for member in {"one": [chance.choice(both)], "launcher": [], "all": both}[who]:
            os.kill(member, signal.SIGKILL)
        until_ended(*both)  # the other ends with it, and both with what started them
        launcher.join()
        assert launcher.exitcode != 0 and not weights(project).get("seed1.safetensors")
    launcher = begin(2)
    launcher.join()
    assert launcher.exitcode == 0
    resumed = weights(project)
    assert resumed == left_alone(project, begin, 2) and len(resumed) == 2
    assert set(io.read_table(project / "models" / "epochs.csv")["processes"]) == {2}
