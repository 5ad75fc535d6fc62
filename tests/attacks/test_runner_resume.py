"""An attack that is killed in the middle goes on at its first unfinished chunk and ends with the same bytes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import torch

from spectroscope.attacks import runner
from spectroscope.attacks.registry import AttackSettings
from spectroscope.pipeline import checkpoint, io, params

ROOT = Path(__file__).parents[2]
ENTRY = {"method": "noise", "norm": "l2", "n_images": 12, "eps": [1.0, 4.0], "kinds": ["gaussian", "sign"]}


def attack(out, kill_at=0):
    """Runs the entry and returns the number of calls of the model; the process kills itself at one of them."""
    settings = params.validate(ENTRY, AttackSettings, "attacks.noise")
    images = torch.rand(12, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(3, 108, generator=torch.Generator().manual_seed(1))
    calls = 0

    def model(x):
        nonlocal calls
        calls += 1
        if calls == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return x.flatten(1) @ weights.T

    labels = (images.flatten(1) @ weights.T).argmax(1)
    with checkpoint.open_store("attacks", settings=settings.model_dump()) as store:
        io.write_chunks(Path(out), runner.run_entry(settings, model, images, labels, seed=0, batch_size=4, store=store))
    return calls


def attack_in_a_process(folder, kill_at):
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "DVC_ROOT": str(folder)}
    environment["OMP_NUM_THREADS"] = str(torch.get_num_threads())
    command = [sys.executable, __file__, "resumed.parquet", str(kill_at)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_an_attack_killed_with_signal_9_resumes_at_the_first_unfinished_chunk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    calls = attack("whole.parquet")
    killed = attack_in_a_process(tmp_path, calls // 2)
    assert killed.returncode == -signal.SIGKILL and not (tmp_path / "resumed.parquet").exists()
    finished = list(tmp_path.glob(".checkpoints/*/*/*.safetensors"))
    assert finished
    resumed = attack_in_a_process(tmp_path, 0)
    assert resumed.returncode == 0, resumed.stderr
    assert int(resumed.stdout) == calls - calls // 6 * len(finished)  # six chunks: two variants, three batches
    tables = [pd.read_parquet(name) for name in ("whole.parquet", "resumed.parquet")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert not list(tmp_path.glob(".checkpoints/*/*/*.safetensors"))


if __name__ == "__main__":
    print(attack(sys.argv[1], int(sys.argv[2])))
