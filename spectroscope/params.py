"""Settings: every value comes from params.yaml, is checked before any work, and nothing has a default in code.

The model of a section stands beside the science it configures and derives from `Settings`.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

FILE = Path("params.yaml")


class Settings(BaseModel):
    """A section of params.yaml: no unknown keys, no change after loading, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def read(path: Path = FILE) -> dict[str, Any]:
    """The whole parameter file; ValueError when it is missing, not YAML, or has a key DVC cannot track."""
    try:
        content = yaml.load(path.read_text(), Loader=_UniqueKeys)
    except FileNotFoundError:
        raise ValueError(f"{path}: expected a parameter file, found none") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: expected YAML, got {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a mapping of sections, got {type(content).__name__}")
    _check_keys(content, path, ())
    return content


def load(section: str, model: Any, path: Path = FILE) -> Any:
    """One section, for example "training" or "runs.standard", as `model`.

    `model` is a Settings class or any type pydantic knows (a union, a dict of settings).
    ValueError names the key path, what was expected and what was found.
    """
    value: Any = read(path)
    walked: list[str] = []
    for key in section.split("."):
        if not isinstance(value, dict) or key not in value:
            known = ", ".join(map(str, value)) if isinstance(value, dict) else type(value).__name__
            where = ".".join(walked) or str(path)
            raise ValueError(f"{path}: {section}: expected key {key!r} in {where}, which has: {known}")
        value = value[key]
        walked.append(key)
    return validate(value, model, section, path)


def validate(value: Any, model: Any, section: str, path: Path = FILE) -> Any:
    """`value` as `model`, or a ValueError with one line for each fault."""
    try:
        return TypeAdapter(model).validate_python(value)
    except ValidationError as error:
        lines = [f"{path}: {_key_path(section, fault, value)}: {_describe(fault)}" for fault in error.errors()]
        raise ValueError("\n".join(lines)) from None


def _key_path(section: str, fault: Any, value: Any) -> str:
    """Dotted path of a fault; tags of discriminated unions, which are no keys of the file, are left out."""
    keys = [section]
    for part in fault["loc"]:
        if (isinstance(value, dict) and part in value) or (isinstance(value, list) and isinstance(part, int)):
            value = value[part]
        elif fault["type"] != "missing" or part != fault["loc"][-1]:
            continue
        keys.append(str(part))
    return ".".join(keys)


def _describe(fault: Any) -> str:
    if fault["type"] == "missing":
        return "expected this setting, found none"
    if fault["type"] == "extra_forbidden":
        return f"unknown setting (misspelt?), got {fault['input']!r}"
    return f"{fault['msg']}, got {fault['input']!r}"


def _check_keys(value: Any, path: Path, above: tuple[str, ...]) -> None:
    """DVC drops numeric keys without a word and cannot track dotted ones, so both are refused here."""
    if isinstance(value, list):
        for item in value:
            _check_keys(item, path, above)
    if not isinstance(value, dict):
        return
    for key, below in value.items():
        where = ".".join([*above, str(key)])
        if not isinstance(key, str) or key.isdigit():
            raise ValueError(f"{path}: {where}: expected a key that is a word, got the {type(key).__name__} {key!r}")
        if "." in key or "/" in key or key != key.strip() or not key:
            raise ValueError(f"{path}: {where}: expected a key without dots, slashes or outer spaces, got {key!r}")
        _check_keys(below, path, (*above, key))


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key given twice is an error instead of a silent choice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if key.tag != "tag:yaml.org,2002:merge" and name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {name!r} twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)
