#!/bin/sh
# The figures of a GPU in docs/scale.md, unattended: benchmarks/gpu.sh FOLDER OUT.json [--seconds N] [--toy]
# FOLDER: Parquet files of CIFAR-10, train and test. Any Python with torch, torchvision, pydantic, pyarrow and typer runs it.
set -e
cd "$(dirname "$0")/.."
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || echo "no GPU: only --toy ends soon"
PYTHONUNBUFFERED=1 exec "${PYTHON:-python3}" -m benchmarks.gpu "$@"
