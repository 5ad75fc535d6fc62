"""The stages and dvc.yaml agree, and a stage refuses bad input with one message before it writes."""

import ast
import inspect
import itertools
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest
import torch
import yaml

from spectroscope import sources
from spectroscope.attacks import registry
from spectroscope.frequency.spectrum import dct2
from spectroscope.pipeline import io, machine, params

ROOT = Path(__file__).parents[1]
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# The stage `bands` compares its band with all others, which changes no output, so its cell depends on that band alone.
WHOLE_FILE = ("study", "counts")
READ_BUT_NOT_TRACKED = {"bands": {"bands"}}


def body(stage):
    """The entry of a stage in dvc.yaml, that of one cell for a grid of cells."""
    return PIPELINE[stage].get("do", PIPELINE[stage])


def paths(entries):
    """Paths of `deps`, `outs` or `metrics`, whose entries are names or {name: options}."""
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


# A stage that imports a file of a folder depends on the whole folder. The stages that compute for long depend on single
# files instead, except of their own folder and of the shared ones.
SHARED = ("pipeline", "frequency", "models")
LONG = ("training", "attacks", "attribution")
OF_THE_USER = ("data/sources", "networks")  # folders of which each cell depends on its own files, by their digests
DIGESTS = "data/study"
VERSION = Path("spectroscope/__init__.py")  # nothing but the version, whose change reruns nothing


# A cell of attacks depends on the code of its own attack, by its digests.
CODE_OF_ATTACKS = {file for method in registry.ATTACKS for file in sources.attack_code(method)}


def code(stage):
    """Files and folders of code in the dependencies of a stage."""
    return [path for path in paths(body(stage)["deps"]) if not path.startswith(("data/", "reports/", "networks"))]


def needed(stage, files):
    """The dependencies that dvc.yaml must list for these imported files: folders, or the files themselves."""
    listed = set()
    for file in files:
        if stage == "attacks" and file in CODE_OF_ATTACKS:
            continue
        room = Path(file).parts[1] if file.startswith("spectroscope/") and file.count("/") > 1 else None
        whole = room and (room in (*SHARED, stage) or stage not in LONG) and (stage, room) != ("attacks", "attacks")
        listed.add(f"spectroscope/{room}" if whole else file)
    return listed


def command(stage):
    """Options of `cmd`: {name without dashes: value}."""
    words = shlex.split(body(stage)["cmd"])
    assert words[:3] == ["python", "-m", f"stages.{stage}"]
    names, values = words[3::2], words[4::2]
    assert len(names) == len(values) and all(name.startswith("--") for name in names)
    return {name.removeprefix("--").replace("-", "_"): value for name, value in zip(names, values, strict=True)}


def source(stage):
    return ast.parse((ROOT / "stages" / f"{stage}.py").read_text())


def options(stage):
    """Options of `main`: {name: "In", "Out", "Record", "Cells" or "Name"}."""
    (main,) = [node for node in source(stage).body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    return {argument.arg: ast.unparse(argument.annotation) for argument in main.args.args}


def covers(entry, path):
    """Whether a dependency or output of dvc.yaml is `path`, a file of that folder, or the folder of that file."""
    return Path(entry) == Path(path) or Path(entry) in Path(path).parents or Path(path) in Path(entry).parents


@pytest.fixture(scope="module")
def graph():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        return grimp.build_graph("spectroscope", "stages", cache_dir=None)


# ---- dvc.yaml


def test_every_stage_is_a_file_and_every_file_a_stage():
    assert set(PIPELINE) == {file.stem for file in (ROOT / "stages").glob("*.py")} - {"__init__"}


@pytest.mark.parametrize("stage", PIPELINE)
def test_code_dependencies_are_exactly_what_a_stage_imports(graph, stage):
    modules = {f"stages.{stage}"} | graph.find_upstream_modules(f"stages.{stage}")
    for module in list(modules):  # importing a.b runs a/__init__.py
        modules |= {module.rsplit(".", n)[0] for n in range(1, module.count(".") + 1)}
    files = set()
    for module in modules:
        path = Path(*module.split("."))
        file = path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")
        if (ROOT / file).read_text().strip() and file != VERSION:
            files.add(str(file))
    assert sorted(code(stage)) == sorted(needed(stage, files))


def test_code_dependencies_are_short_enough_to_read():
    assert sum(len(code(stage)) for stage in PIPELINE) <= 130


@pytest.mark.parametrize("stage", PIPELINE)
def test_dependencies_are_listed_once_and_code_is_there(stage):
    listed = paths(body(stage)["deps"])
    assert len(set(listed)) == len(listed)
    for path in listed:
        assert path.startswith(("data/", "reports/")) or (ROOT / path).exists()


@pytest.mark.parametrize("stage", PIPELINE)
def test_the_command_gives_exactly_the_options_of_the_stage(stage):
    assert list(command(stage)) == list(options(stage))
    assert set(options(stage).values()) <= {"Name", "In", "Out", "Record", "Cells"}


@pytest.mark.parametrize("stage", PIPELINE)
def test_every_path_of_the_command_is_a_dependency_or_an_output(stage):
    deps, outs = paths(body(stage)["deps"]), paths(body(stage)["outs"] + body(stage).get("metrics", []))
    for name, kind in options(stage).items():
        path = command(stage)[name]
        if kind == "In":
            assert any(covers(entry, path) for entry in deps), f"--{name} {path} is no dependency"
        elif kind == "Out":
            assert any(covers(entry, path) for entry in outs), f"--{name} {path} is no output"
        elif kind == "Record":  # facts of the machine would give each machine a dvc.lock of its own
            assert path.startswith("reports/machine/")
            assert not any(covers(entry, path) for entry in [*deps, *outs]), f"--{name} {path} is tracked"
        elif kind == "Cells":
            assert path in {f"data/{folder}" for folder in ("bands", "models", "attacks", "attribution")}
            assert not any(covers(entry, path) for entry in [*deps, *outs]), f"--{name} {path} is tracked"
    used_paths = [path for name, path in command(stage).items() if options(stage)[name] != "Name"]
    for entry in [*outs, *(dep for dep in deps if dep.startswith(("data/", "reports/")))]:
        unread = entry in ("data/sources", "data/counts.txt") or (entry.startswith(DIGESTS) and entry in deps)
        assert unread or any(covers(entry, path) for path in used_paths), f"{entry} is not used"


@pytest.mark.parametrize("stage", PIPELINE)
def test_every_dependency_is_made_by_a_stage(stage):
    outputs = [path for other in PIPELINE for path in paths(body(other)["outs"] + body(other).get("metrics", []))]
    outputs = [re.sub(r"\$\{.*?\}", "*", path) for path in outputs]
    for path in paths(body(stage)["deps"]):
        if path.startswith(("data/", "reports/")) and path not in OF_THE_USER:
            assert any(covers(entry, re.sub(r"\$\{.*?\}", "*", path)) for entry in outputs), f"nothing makes {path}"


def test_no_stage_runs_before_the_study_is_checked():
    waits = lambda dep: dep.startswith("data/") and dep not in OF_THE_USER  # noqa: E731
    assert [stage for stage in PIPELINE if not any(map(waits, paths(body(stage)["deps"])))] == ["study"]
    assert "data/study/dataset.json" in paths(body("dataset")["deps"])


def test_what_loads_a_network_depends_on_the_code_of_own_networks(graph):
    for stage in PIPELINE:
        loads = "spectroscope.models.architectures" in graph.find_upstream_modules(f"stages.{stage}")
        digests = any(dep.startswith(f"{DIGESTS}/runs") for dep in paths(body(stage)["deps"]))
        assert digests or not loads or stage == "study", stage


def sections(stage):
    """Key paths of params.yaml that a stage or its own folder reads; `*` for the value of an option."""
    keys, whole_files = set(), set()
    for node in ast.walk(source(stage)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="params"), attr="load"), args=[key, *_]):
                keys.add(re.sub(r"\{.*?\}", "*", ast.unparse(key).removeprefix("f").strip("'\"")))
            case ast.Subscript(value=ast.Call(func=ast.Attribute(attr="read")), slice=ast.Constant(value=str(key))):
                keys.add(key)
            case ast.Assign(targets=[target], value=value) if "params.read()" in ast.unparse(value):
                pairs = (
                    zip(target.elts, value.elts, strict=True) if isinstance(target, ast.Tuple) else [(target, value)]
                )
                whole_files |= {ast.unparse(name) for name, read in pairs if ast.unparse(read) == "params.read()"}
    listed = [ROOT / path for path in code(stage)]
    files = [file for path in listed for file in (path.rglob("*.py") if path.name == stage else [path])]
    trees = [ast.parse(file.read_text()) for file in files if file.suffix == ".py"]
    for node in itertools.chain.from_iterable(ast.walk(tree) for tree in trees):
        match node:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str(key))) if name in whole_files:
                keys.add(key)
    return keys


@pytest.mark.parametrize("stage", [stage for stage in PIPELINE if stage not in WHOLE_FILE])
def test_tracked_parameters_cover_the_sections_that_are_read_and_no_others(stage):
    tracked = {re.sub(r"\$\{.*?\}", "*", key) for key in body(stage)["params"]}
    read = sections(stage)
    assert read
    covering = lambda key, others: any(key == other or key.startswith(f"{other}.") for other in others)  # noqa: E731
    assert {key for key in read if not covering(key, tracked)} == READ_BUT_NOT_TRACKED.get(stage, set())
    used = {key.split(".")[0] for key in read}
    assert {key for key in tracked if key.split(".")[0] not in used} == set()


@pytest.mark.parametrize("stage", WHOLE_FILE)
def test_the_checks_track_the_whole_file(stage):
    assert body(stage)["params"] == [{"params.yaml": None}]


def test_nothing_is_computed_of_images_before_they_are_counted():
    waiting = [stage for stage in PIPELINE if "data/counts.txt" in paths(body(stage)["deps"])]
    assert waiting == ["information", "bands"]  # every other stage needs what these make


# ---- messages about missing and wrong input


def run(monkeypatch, folder, stage, **options):
    """A stage as its command line runs it, in this process: its exit code or message."""
    words = itertools.chain.from_iterable((f"--{name}", str(value)) for name, value in options.items())
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", [f"stages.{stage}", *words])
    monkeypatch.delitem(sys.modules, f"stages.{stage}", raising=False)
    with pytest.raises(SystemExit) as caught:
        runpy.run_module(f"stages.{stage}", run_name="__main__", alter_sys=True)
    return caught.value.code


@pytest.fixture
def workspace(tmp_path):
    """A folder with the smoke study and four random images as its training and test images."""
    shutil.copy(ROOT / "studies" / "smoke.yaml", tmp_path / "params.yaml")
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (4, 3, 32, 32), generator=random).to(torch.uint8)
    for split in ("train", "test"):
        io.write_images(tmp_path / f"{split}.parquet", io.Images(pixels, torch.tensor([0, 1, 0, 1]), ("a", "b")))
    return tmp_path


def edit(workspace, section, key, value):
    study = params.read(workspace / "params.yaml")
    study[section][key] = value
    (workspace / "params.yaml").write_text(yaml.safe_dump(study, sort_keys=False))


def python(*words, cwd, **environment):
    """A fresh process; (exit code, stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


CELLS = {name: f"data/{name}" for name in ("bands", "models", "attacks", "attribution")}
STUDY = {**CELLS, "out": "data/study"}  # options of the stage `study`


def test_a_bad_study_is_one_message_and_no_file(workspace):
    edit(workspace, "runs", "standard", {"band": "full", "regime": {"name": "standrad"}, "model": "resnet9"})
    words = itertools.chain.from_iterable((f"--{name}", path) for name, path in STUDY.items())
    code, out, error = python("-m", "stages.study", *words, cwd=workspace, PYTHONPATH=str(ROOT))
    assert code == 1 and out == "" and "Traceback" not in error
    known = "expected one of 'standard', 'adversarial', "
    first, second = error.splitlines()
    assert first.startswith(f"stages.study: params.yaml: runs.standard.regime.name: {known}")
    assert first.endswith(", got 'standrad'")
    assert second.startswith("params.yaml: runs.standard.model: expected a model among resnet8, resnet18, ")
    assert second.endswith(", or module:function, got 'resnet9'")
    assert not (workspace / "data").exists()


def test_a_good_study_is_recorded(workspace, monkeypatch):
    assert run(monkeypatch, workspace, "study", **STUDY) == 0
    files = {"dataset", "runs/standard", "runs/adversarial", "attacks/pgd", "attacks/square", "attacks/simba-dct"}
    folder = workspace / "data" / "study"
    assert {file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.json")} == files
    assert io.read_json(folder / "runs" / "standard.json") == {}
    attacks = "spectroscope/attacks"
    code = {f"{attacks}/{name}.py" for name in ("__init__", "pgd", "counting_model", "losses", "sizes")}
    assert set(io.read_json(folder / "attacks" / "pgd.json")) == code


def test_cells_of_another_study_are_removed_and_those_of_this_one_stay(workspace, monkeypatch):
    stay = [
        "bands/full/test.parquet",
        "models/standard/card.json",
        "attacks/standard/pgd.parquet",
        "attribution/standard/a",
    ]
    go = ["bands/old/test.parquet", "models/old/card.json", "attacks/old/pgd.parquet", "attacks/standard/old.parquet"]
    go += ["attacks/standard/.pgd.parquet.1.part", "attribution/old/a", "study/runs/old.json"]
    for name in stay + go:
        (workspace / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / "data" / name).touch()
    assert run(monkeypatch, workspace, "study", **STUDY) == 0
    assert all((workspace / "data" / name).exists() for name in stay)
    assert not any((workspace / "data" / name).exists() for name in go)
    assert not (workspace / "data" / "models" / "old").exists()


def test_a_weights_file_that_is_not_there_is_named_before_any_work(workspace, monkeypatch):
    regime = {"name": "pretrained", "weights": ["here.th", "data/sources/r.th"], "entry": None, "keys": "plain"}
    regime |= {"mean": None, "std": None, "least_accuracy": 0.5}
    edit(workspace, "runs", "standard", {"band": "full", "regime": regime, "model": "resnet20"})
    (workspace / "here.th").touch()
    started = {"band": "full", "regime": {"name": "standard"}, "model": "resnet20"}
    start = {key: value for key, value in regime.items() if key != "name"} | {"weights": ["data/sources/s.th"]}
    edit(workspace, "runs", "started", {**started, "start": start})
    message = run(monkeypatch, workspace, "study", **STUDY)
    wanted = {"standard.regime": "data/sources/r.th", "started.start": "data/sources/s.th"}
    lines = [f"params.yaml: runs.{key}.weights: expected a file {file}, found none" for key, file in wanted.items()]
    assert message == f"stages.study: {chr(10).join(lines)}"
    assert not (workspace / "data").exists()


def test_a_missing_study_is_one_message(workspace, monkeypatch):
    (workspace / "params.yaml").unlink()
    message = run(monkeypatch, workspace, "study", **STUDY)
    assert message == "stages.study: params.yaml: expected a parameter file, found none"


LOW = {"keep": "inside", "basis": "dct", "shape": "linf", "unit": "shells", "low": 0, "high": 8, "clip": False}


@pytest.mark.parametrize(
    ("band", "message"),
    [
        (LOW, "bands.again: expected a band of its own, got the same coefficients as bands.low"),
        (
            {**LOW, "unit": "fraction", "high": 0.25},
            "bands.again: expected a band of its own, got the same coefficients as bands.low",
        ),
        ({**LOW, "low": 32, "high": 33}, "bands.again: expected high <= 32 shells (32 x 32, linf), got 33"),
        (
            {**LOW, "unit": "fraction", "high": 0.01},
            "bands.again: expected a band at least one shell wide, got shells 0 to 0 of 32",
        ),
        ({**LOW, "high": -1}, "params.yaml: bands.again.high: expected a number greater than 0, got -1"),
    ],
)
def test_a_bad_band_is_one_message_and_no_file(workspace, monkeypatch, band, message):
    edit(workspace, "bands", "again", band)
    said = run(monkeypatch, workspace, "bands", band="full", train="train.parquet", test="test.parquet", out="out")
    assert said.startswith(f"stages.bands: {message}") and "\n" not in said
    assert not (workspace / "out").exists()


def test_bands_writes_both_splits_of_a_band(workspace, monkeypatch):
    assert run(monkeypatch, workspace, "bands", band="low", train="train.parquet", test="test.parquet", out="out") == 0
    assert {file.name for file in (workspace / "out").iterdir()} == {"train.parquet", "test.parquet"}
    images = io.read_images(workspace / "out" / "test.parquet")
    assert images.labels.tolist() == [0, 1, 0, 1] and images.pixels.shape == (4, 3, 32, 32)
    assert io.read_facts(workspace / "out" / "test.parquet") == {"band": "low"}
    assert dct2(images.pixels)[..., 8:, :].abs().max() < 1e-5 < dct2(images.pixels)[..., :8, :8].abs().min()


def test_a_damaged_image_file_is_one_message_and_no_file(workspace, monkeypatch):
    content = (workspace / "test.parquet").read_bytes()
    (workspace / "test.parquet").write_bytes(content[: len(content) // 2])
    message = run(monkeypatch, workspace, "bands", band="low", train="train.parquet", test="test.parquet", out="out")
    assert message.startswith("stages.bands: test.parquet: expected images written by spectroscope, got a damaged")
    assert not (workspace / "out").exists()


def test_a_run_that_is_not_in_the_study_is_named(workspace, monkeypatch):
    message = run(
        monkeypatch, workspace, "training", run="standrad", images="train.parquet", out="out", machine="m.csv"
    )
    assert message.startswith("stages.training: params.yaml: runs.standrad: expected key 'standrad' in runs, which has")
    assert not (workspace / "out").exists()


def test_a_file_that_is_not_there_is_an_error_of_usage(workspace, monkeypatch, capsys):
    options = {"band": "low", "train": "no.parquet", "test": "test.parquet", "out": "out"}
    assert run(monkeypatch, workspace, "bands", **options) == 2
    assert "no.parquet" in capsys.readouterr().err and not (workspace / "out").exists()


def test_training_writes_weights_of_every_seed_and_a_row_for_every_epoch(workspace, monkeypatch, capsys):
    options = {"run": "adversarial", "images": "train.parquet", "out": "out", "machine": "machine.csv"}
    assert run(monkeypatch, workspace, "training", **options) == 0
    names = {"seed0.safetensors", "seed1.safetensors", "epochs.csv", "card.json"}
    assert {file.name for file in (workspace / "out").iterdir()} == names
    rows = io.read_table(workspace / "out" / "epochs.csv")
    assert rows[["seed", "epoch"]].to_numpy().tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]
    assert rows["kept"].tolist() == [False, True, False, True] and not rows["overfitted"].any()
    assert rows["own_robust"].between(0, 1).all()
    again = {**options, "out": "again", "machine": "again.csv"}
    assert run(monkeypatch, workspace, "training", **again) == 0
    first, second = ({name: (workspace / out / name).read_bytes() for name in names} for out in ("out", "again"))
    assert first == second and first["seed0.safetensors"] != first["seed1.safetensors"]


def test_training_writes_facts_of_the_machine_to_a_file_of_their_own(workspace, monkeypatch):
    options = {"run": "standard", "images": "train.parquet", "out": "out", "machine": "reports/machine.csv"}
    assert run(monkeypatch, workspace, "training", **options) == 0
    rows = io.read_table(workspace / "reports" / "machine.csv")
    columns = ["seed", "epoch", "images_per_second", "processes", "device", "threads", "torch"]
    assert list(rows) == columns and len(rows) == 4
    assert (rows["images_per_second"] > 0).all() and (rows["processes"] == 1).all()
    assert (rows["threads"] == torch.get_num_threads()).all() and (rows["torch"] == torch.__version__).all()
    epochs = io.read_table(workspace / "out" / "epochs.csv")
    assert list(epochs) == ["seed", "epoch", "loss", "clean", "robust", "own_robust", "overfitted", "kept"]
    assert epochs["own_robust"].isna().all()
    card = io.read_json(workspace / "out" / "card.json")
    assert set(card) == {"run", "settings", "input", "classes", "data", "held_out"}


def test_every_network_has_the_generator_of_its_seed(workspace, monkeypatch):
    keys, generator = [], machine.generator
    monkeypatch.setattr(machine, "generator", lambda *seeds: keys.append(seeds) or generator(*seeds))
    assert (
        run(monkeypatch, workspace, "training", run="standard", images="train.parquet", out="out", machine="m.csv") == 0
    )
    assert {(0,), (1,)} <= set(keys)


def test_stages_take_their_paths_from_the_command_line_alone():
    for stage in PIPELINE:
        strings = [node.value for node in ast.walk(source(stage)) if isinstance(node, ast.Constant)]
        assert not [text for text in strings if isinstance(text, str) and text.startswith(("data/", "reports/"))]


def test_a_stage_can_be_called_as_a_function():
    for stage in PIPELINE:
        module = __import__(f"stages.{stage}", fromlist=["main"])
        assert list(inspect.signature(module.main).parameters) == list(options(stage))
