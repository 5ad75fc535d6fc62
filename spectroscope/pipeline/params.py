"""Settings: read sections of params.yaml and check them. Every value comes from there; nothing has a default in code.

The class of a section derives from `Settings` and stands beside the science it configures.
"""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

FILE = Path("params.yaml")


def _require_different(values: list[Any]) -> list[Any]:
    shown = [f"{value:g}" if isinstance(value, float) else repr(value) for value in values]
    if len(set(shown)) < len(shown):
        raise ValueError(f"expected values that differ in their first six digits, got {values}")
    return values


Distinct = AfterValidator(_require_different)  # of a list; names and tables show six digits
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # tables hold it as an integer of 64 bits


class Settings(BaseModel):
    """A section of params.yaml: unknown keys, silent conversions and infinite numbers are refused; it is immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def read(path: Path = FILE) -> dict[str, Any]:
    """The whole parameter file; ValueError when it is missing, not YAML, or has a key that DVC cannot track."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise ValueError(f"{path}: expected a parameter file, found none") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected YAML, got {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a mapping of sections, got {type(content).__name__}")
    _check_keys(content, path, ())
    return content


def load(section: str, model: Any, path: Path = FILE) -> Any:
    """One section, such as "training" or "runs.standard", as an instance of `model`.

    `model` is a Settings class or any other type that pydantic knows (a union, a dict of settings).
    ValueError naming the key path, what was expected and what was found.
    """
    value: Any = read(path)
    parents: list[str] = []
    for key in section.split("."):
        if not isinstance(value, dict) or key not in value:
            known = ", ".join(map(str, value)) if isinstance(value, dict) else type(value).__name__
            parent = ".".join(parents) or str(path)
            raise ValueError(f"{path}: {section}: expected key {key!r} in {parent}, which has: {known}")
        value = value[key]
        parents.append(key)
    return validate(value, model, section, path)


def validate(value: Any, model: Any, section: str, path: Path = FILE) -> Any:
    """`value` as an instance of `model`; ValueError with one line for each fault."""
    try:
        return TypeAdapter(model).validate_python(value)
    except ValidationError as error:
        faults = [(str(path), _key_path(section, fault, value), _describe(fault)) for fault in error.errors()]
        raise ValueError("\n".join(": ".join(filter(None, fault)) for fault in faults)) from None


def _key_path(section: str, fault: Any, value: Any) -> str:
    """Dotted path of a fault: pydantic's `loc` without the tags of unions, which are no keys of the file."""
    keys = [section] if section else []
    for key in fault["loc"]:
        if (isinstance(value, dict) and key in value) or (isinstance(value, list) and isinstance(key, int)):
            value = value[key]
        elif fault["type"] != "missing" or key != fault["loc"][-1]:
            continue
        keys.append(str(key))
    if fault["type"].startswith("union_tag"):
        keys.append(_discriminator(fault))
    return ".".join(keys)


def _describe(fault: Any) -> str:
    """One of pydantic's faults in the form `expected X, got Y`."""
    kind, got = fault["type"], fault.get("input")
    if kind in ("missing", "union_tag_not_found"):
        return "expected this setting, found none"
    if kind == "extra_forbidden":
        return f"unknown setting (misspelt?), got {got!r}"
    if kind == "value_error":  # raised by a validator of this project, in that form already
        return str(fault["ctx"]["error"])
    if kind == "union_tag_invalid":
        return f"expected one of {fault['ctx']['expected_tags']}, got {got[_discriminator(fault)]!r}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"expected a mapping of settings, got {got!r}"
    if kind == "too_short":
        return f"expected at least {fault['ctx']['min_length']} entry, got {got!r}"
    expected = fault["msg"].removeprefix("Input should be ")
    return f"expected {'a number ' if expected.startswith(('greater', 'less')) else ''}{expected}, got {got!r}"


def _discriminator(fault: Any) -> str:
    """The key that selects among the classes of a union, such as `method`."""
    return fault["ctx"]["discriminator"].strip("'")


def _check_keys(value: Any, path: Path, parents: tuple[str, ...]) -> None:
    """ValueError for a key that is no plain word.

    DVC ignores numeric keys silently and cannot track dotted ones; other characters would break a command or a path.
    """
    if isinstance(value, list):
        for item in value:
            _check_keys(item, path, parents)
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        where = ".".join([*parents, str(key)])
        if not isinstance(key, str) or key.isdigit():
            raise ValueError(f"{path}: {where}: expected a key that is a word, got the {type(key).__name__} {key!r}")
        if not re.fullmatch(r"\w[\w-]*", key):
            raise ValueError(f"{path}: {where}: expected a key of letters, digits, _ and -, got {key!r}")
        _check_keys(item, path, (*parents, key))


class _Loader(yaml.SafeLoader):
    """A loader that refuses a key given twice (others take the last one) and reads 1e-3 as a number, as DVC does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            name = self.construct_object(key, deep=True)
            if not isinstance(name, Hashable):  # the base class refuses it, naming the line
                continue
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {name!r} twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)
