# ruff: noqa: F401
"""All reading and writing of files, under one name: `io.read_images`, `io.write_table`, `io.write_weights`, ..."""

from spectroscope.pipeline.arrays import read_facts
from spectroscope.pipeline.files import keep_only, read_json, read_table, replacing, write_json, write_table, write_text
from spectroscope.pipeline.images import (
    Images,
    read_arrays,
    read_attack,
    read_images,
    write_arrays,
    write_chunks,
    write_images,
)
from spectroscope.pipeline.weights import load_tensors, read_tensors, read_weights, write_weights
