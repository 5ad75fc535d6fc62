"""Settings: read sections of params.yaml and check them. Every value comes from there; nothing has a default in code.

The class of a section derives from `Settings` and stands beside the science it configures.
"""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

FILE = Path("params.yaml")


def _require_different(values: list[Any]) -> list[Any]:
    shown = [f"{value:g}" if isinstance(value, float) else repr(value) for value in values]
    if len(set(shown)) < len(shown):
        raise ValueError(f"expected values that differ in their first six digits, got {values}")
    return values


Distinct = AfterValidator(_require_different)  # of a list; names and tables show six digits
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # tables hold it as an integer of 64 bits


MOST_VALUES, MOST_LEVELS = 100_000, 50  # of a parameter file
LEAST, MOST = 1e-30, 1e9  # of floats but 0: tensors are float32, in which the squares of larger ones add up to infinity


class Settings(BaseModel):
    """A section of params.yaml: unknown keys, silent conversions and infinite numbers are refused; it is immutable.

    Floats are 0 or from LEAST to MOST in size, and integers of 64 bits: others end as NaN or overflow in a tensor.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _fits_into_tensors(cls, value: Any) -> Any:
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float) and number and not LEAST <= abs(number) <= MOST:
                raise ValueError(f"expected 0 or a number from {LEAST:g} to {MOST:g} in size, got {number:g}")
            if isinstance(number, int) and abs(number) >= 2**63:
                raise ValueError(f"expected an integer of 64 bits, got {number}")
        return value


def read(path: Path = FILE) -> dict[str, Any]:
    """The whole parameter file; ValueError when it is missing, not YAML, or has a key that DVC cannot track."""
    try:
        text = path.read_text(encoding="utf-8")
        nodes = yaml.compose(text, Loader=_Loader)
        _check_size(nodes)
        content = yaml.load(text, Loader=_Loader)
    except FileNotFoundError:
        raise ValueError(f"{path}: expected a parameter file, found none") from None
    except RecursionError:
        raise ValueError(f"{path}: expected settings of at most {MOST_LEVELS} levels, got more") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # ValueError: a date or a number that is none
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


def _check_size(node: yaml.Node | None, above: frozenset[int] = frozenset(), seen: list[int] | None = None) -> None:
    """ValueError for a file too deep or too large to be settings, aliases written out, and for one within itself."""
    seen = [0] if seen is None else seen
    seen[0] += 1
    if seen[0] > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES} values, with aliases written out")
    if len(above) > MOST_LEVELS:
        raise ValueError(f"more than {MOST_LEVELS} levels")
    if id(node) in above:
        raise ValueError("an alias within what it stands for")
    children = node.value if isinstance(node, yaml.CollectionNode) else []
    for child in children:
        for part in child if isinstance(child, tuple) else (child,):
            _check_size(part, above | {id(node)}, seen)


class _Loader(yaml.SafeLoader):
    """A loader that refuses a key given twice (others take the last one) and reads plain words as DVC does.

    DVC reads YAML 1.2, PyYAML 1.1: `yes` and `on` are words, 010 is 10, 0o10 is 8, 1e-3 is a number, 12:30 a word.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  # all but those of booleans and numbers
        letter: [(tag, pattern) for tag, pattern in resolvers if tag.rsplit(":", 1)[1] not in ("bool", "int", "float")]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

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


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node).replace("_", "")
    base = {"0b": 2, "0o": 8, "0x": 16}.get(text.lstrip("+-")[:2].lower(), 10)
    return int(text, base)


_NUMBERS = list("-+0123456789.")
for _tag, _pattern, _letters in (
    ("bool", r"(true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    (
        "float",
        r"[-+]?([0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9_]+([eE][-+][0-9]+)?"
        r"|\.(inf|Inf|INF))$|\.(nan|NaN|NAN)$",
        _NUMBERS,
    ),
    ("int", r"[-+]?(0b[01_]+|0o?[0-7_]+|[0-9_]+|0x[0-9a-fA-F_]+)$", _NUMBERS),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _letters)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
