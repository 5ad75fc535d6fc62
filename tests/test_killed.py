"""Stage, processes or dvc killed at random moments and started again: the weights are those of an undisturbed run."""

import multiprocessing
import os
import random
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
    cmd: python -m stages.training --run standard --images train.parquet --out models --machine machine.csv
    params: [runs.standard, training]
    deps: [train.parquet]
    outs: [models]
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


def new_project(folder):
    """A folder with the settings and images of one stage, which trains a small network with two seeds."""
    study = params.read(ROOT / "studies" / "smoke.yaml")
    study["training"] |= {"seeds": [0, 1], "epochs": 6, "batch_size": 8}  # 48 batches for each seed
    (folder / "params.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    pixels = torch.randint(0, 256, (64, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    io.write_images(folder / "train.parquet", io.Images(pixels, torch.arange(64) % 2, ("a", "b")), source="noise")
    for name in ("stages", "spectroscope"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture
def project(tmp_path):
    return new_project(tmp_path)


@pytest.fixture(scope="module")
def begin():
    """A function that starts the stage in n processes, without dvc; a single one is forked with torch loaded."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.members", "stages.training", "torch._dynamo"])

    def started(folder, n, seconds="0"):
        process = context.Process(target=members.train_stage, args=(folder, n, seconds))
        process.start()
        return process

    return started


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, begin):
    """A function that gives the weights of n processes that nobody kills and that save no checkpoint between epochs."""
    results = {}

    def trained(n):
        if n not in results:
            folder = new_project(tmp_path_factory.mktemp("undisturbed"))
            results[n] = finished(folder, begin(folder, n, seconds="1000"))
            assert len(results[n]) == 2
        return results[n]

    return trained


def finished(folder, process):
    """The weights of a process that is not killed, and which leaves no checkpoint."""
    process.join()
    assert process.exitcode == 0
    assert not list(folder.glob(".checkpoints/training/*"))
    return weights(folder)


def weights(folder):
    """Bytes of each weights file."""
    return {file.name: file.read_bytes() for file in (folder / "models").glob("*.safetensors")}


def saved(folder):
    """When a checkpoint was last written, in nanoseconds."""
    return max((file.stat().st_mtime_ns for file in folder.glob(".checkpoints/training/*/*.safetensors")), default=0)


def children(process):
    return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def ended(process):
    """Whether a process has ended, even if its parent has not asked for its exit code yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_ended(*processes):
    while not all(map(ended, processes)):
        time.sleep(0.01)


# ---- under dvc


def dvc(folder, *words, shell="/bin/bash"):
    """A running dvc. Under bash the stage takes the place of the shell; under sh the shell stands between the two."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"}
    environment |= {checkpoint.SECONDS: "0", "SHELL": shell}
    return subprocess.Popen(
        ["dvc", *words], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def stage_of(process):
    """The Python process of the stage, below dvc and perhaps a shell."""
    (child,) = children(process)[-1:]
    words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
    return child if b"stages.training" in words else stage_of(child)


def test_dvc_repro_after_a_kill_of_the_stage_or_of_dvc_gives_the_weights_of_an_undisturbed_run(project, undisturbed):
    chance = random.Random(0)
    (project / "dvc.yaml").write_text(PIPELINE)
    dvc(project, "init", "--no-scm", "--quiet").communicate()
    for victim, shell in (("stage", "/bin/bash"), ("dvc", "/bin/sh")):
        before = saved(project)
        process = dvc(project, "repro", shell=shell)
        while saved(project) == before:
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.3))
        stage = stage_of(process.pid)
        if victim == "stage":
            os.kill(stage, signal.SIGKILL)
        else:
            process.kill()
        process.communicate()
        wait_until_ended(stage)  # it ends with its dvc
        assert not (project / "dvc.lock").exists()
    last = dvc(project, "repro")
    output, _ = last.communicate()
    assert last.returncode == 0, output
    assert weights(project) == undisturbed(1)
    (project / "models" / "seed0.safetensors").unlink()
    cached = dvc(project, "repro")  # dvc's run-cache knows the stage
    assert "training" in cached.communicate()[0] and weights(project) == undisturbed(1)


# ---- without dvc, which is slow to start: more kills, of one process and of two


def wait_for_checkpoints(project, process, chance):
    """Wait for a few checkpoints and a moment more: the next may be half written."""
    for _ in range(chance.randrange(1, 6)):
        before = saved(project)
        while saved(project) == before:
            assert process.exitcode is None
            time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.02))


def test_a_stage_killed_ten_times_gives_the_weights_of_an_undisturbed_run(project, begin, undisturbed):
    chance = random.Random(1)
    for _ in range(10):
        process = begin(project, 1)
        wait_for_checkpoints(project, process, chance)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert len(list(project.glob(".checkpoints/training/*"))) == 1  # every start finds the same store
    assert finished(project, begin(project, 1)) == undisturbed(1)


def test_two_processes_killed_with_or_without_their_launcher_give_the_weights_of_two_undisturbed_ones(
    project, begin, undisturbed
):
    chance = random.Random(2)
    for victim in ("member", "launcher"):
        launcher = begin(project, 2)
        wait_for_checkpoints(project, launcher, chance)
        both = children(launcher.pid)
        assert len(both) == 2
        os.kill(chance.choice(both) if victim == "member" else launcher.pid, signal.SIGKILL)
        wait_until_ended(*both)  # the other member ends too, and both end with their launcher
        launcher.join()
        assert launcher.exitcode != 0 and not weights(project).get("seed1.safetensors")
    assert finished(project, begin(project, 2)) == undisturbed(2)
    assert set(io.read_table(project / "machine.csv")["processes"]) == {2}
