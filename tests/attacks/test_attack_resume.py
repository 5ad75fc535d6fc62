"""An attack that is killed in the middle goes on at its first unfinished chunk and ends with the same bytes."""

import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[2]
SCRIPT = """
import os, signal, sys
from pathlib import Path
import torch
from spectroscope.pipeline import checkpoint, io, params
from spectroscope.attacks import suite
from spectroscope.attacks.settings import AttackSettings

kill_at, out = int(sys.argv[1]), sys.argv[2]
entry = {"method": "noise", "norm": "l2", "n_images": 12, "eps": [1.0, 4.0], "kinds": ["gaussian", "sign"]}
settings = params.validate(entry, AttackSettings, "attacks.noise")
images = torch.rand(12, 3, 6, 6, generator=torch.Generator().manual_seed(0))
weights = torch.randn(3, 108, generator=torch.Generator().manual_seed(1))
calls = 0

def model(x):
    global calls
    calls += 1
    if calls == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return x.flatten(1) @ weights.T

with checkpoint.open_store("attack", settings=settings.model_dump()) as store:
    labels = (images.flatten(1) @ weights.T).argmax(1)
    io.write_chunks(Path(out), suite.run_entry(settings, model, images, labels, seed=0, batch_size=4, store=store))
print(calls)
"""


def run(folder, kill_at, out):
    command = [sys.executable, "-c", SCRIPT, str(kill_at), str(folder / out)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "DVC_ROOT": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_an_attack_killed_with_signal_9_resumes_at_the_first_unfinished_chunk(tmp_path):
    whole = run(tmp_path, 0, "whole.parquet")
    assert whole.returncode == 0, whole.stderr
    calls = int(whole.stdout)
    killed = run(tmp_path, calls // 2, "resumed.parquet")
    assert killed.returncode == -signal.SIGKILL and not (tmp_path / "resumed.parquet").exists()
    left = [file.name for file in tmp_path.glob(".checkpoints/*/*/*.safetensors")]
    assert left
    resumed = run(tmp_path, 0, "resumed.parquet")
    assert resumed.returncode == 0, resumed.stderr
    assert int(resumed.stdout) == calls - calls // 6 * len(left)  # six chunks, of two variants and three batches
    tables = [pd.read_parquet(tmp_path / name) for name in ("whole.parquet", "resumed.parquet")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert not list(tmp_path.glob(".checkpoints/*/*/*.safetensors"))
