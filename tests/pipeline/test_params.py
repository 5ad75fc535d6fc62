"""Settings: a fault is one line that names the file, the key, what was expected and what was found."""

import math
from typing import Annotated, Literal

import pytest
from dvc.utils.serialize import parse_yaml
from pydantic import Field, field_validator

from spectroscope.pipeline import params


class Inner(params.Settings):
    depth: Annotated[int, Field(ge=1, le=9)]
    fast: bool


class Linf(params.Settings):
    method: Literal["pgd"]
    norm: Literal["linf"]
    eps_255: Annotated[float, Field(ge=0)]


class L2(params.Settings):
    method: Literal["pgd"]
    norm: Literal["l2"]
    eps: float | None


class Simple(params.Settings):
    method: Literal["simple"]
    inner: Inner


Attack = Annotated[
    Annotated[Linf | L2, Field(discriminator="norm")] | Simple,
    Field(discriminator="method"),
]


class Outer(params.Settings):
    rate: float
    name: str
    sizes: Annotated[list[int], Field(min_length=1)]
    attacks: dict[str, Attack]

    @field_validator("name")
    @classmethod
    def _word(cls, name: str) -> str:
        if name == "bad":
            raise ValueError(f"expected a good name, got {name!r}")
        return name


GOOD = {
    "rate": 0.5,
    "name": "x",
    "sizes": [1, 2],
    "attacks": {
        "pgd": {"method": "pgd", "norm": "linf", "eps_255": 8},
        "far": {"method": "pgd", "norm": "l2", "eps": None},
        "plain": {"method": "simple", "inner": {"depth": 3, "fast": True}},
    },
}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes params.yaml into the current folder."""
    monkeypatch.chdir(tmp_path)
    return (tmp_path / "params.yaml").write_text


def changed(path, value):
    """GOOD with the value at a dotted path set, or taken out where it is `...`."""
    content = {**GOOD, "attacks": {name: {**attack} for name, attack in GOOD["attacks"].items()}}
    content["attacks"]["plain"]["inner"] = {**GOOD["attacks"]["plain"]["inner"]}
    *above, last = path.split(".")
    place = content
    for key in above:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return content


def message(value, section=""):
    with pytest.raises(ValueError) as caught:
        params.validate(value, Outer, section)
    return str(caught.value)


# ---- faults of one setting


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("rate", "8", "rate: expected a valid number, got '8'"),
        ("rate", True, "rate: expected a valid number, got True"),
        ("rate", math.inf, "rate: expected a finite number, got inf"),
        ("rate", math.nan, "rate: expected a finite number, got nan"),
        ("rate", ..., "rate: expected this setting, found none"),
        ("rat", 1.0, "rat: unknown setting (misspelt?), got 1.0"),
        ("name", 3, "name: expected a valid string, got 3"),
        ("name", "bad", "name: expected a good name, got 'bad'"),
        ("sizes", [], "sizes: expected at least 1 entry, got []"),
        ("sizes", [1, 2.5], "sizes.1: expected a valid integer, got 2.5"),
        ("attacks", None, "attacks: expected a mapping of settings, got None"),
        ("attacks.pgd", "fgsm", "attacks.pgd: expected a mapping of settings, got 'fgsm'"),
        ("attacks.pgd.eps_255", "8", "attacks.pgd.eps_255: expected a valid number, got '8'"),
        ("attacks.pgd.eps_255", -1, "attacks.pgd.eps_255: expected a number greater than or equal to 0, got -1"),
        ("attacks.pgd.eps_255", ..., "attacks.pgd.eps_255: expected this setting, found none"),
        ("attacks.pgd.esp_255", 8, "attacks.pgd.esp_255: unknown setting (misspelt?), got 8"),
        ("attacks.pgd.method", "pdg", "attacks.pgd.method: expected one of 'pgd', 'simple', got 'pdg'"),
        ("attacks.pgd.method", ..., "attacks.pgd.method: expected this setting, found none"),
        ("attacks.pgd.norm", "l1", "attacks.pgd.norm: expected one of 'linf', 'l2', got 'l1'"),
        ("attacks.pgd.norm", ..., "attacks.pgd.norm: expected this setting, found none"),
        ("attacks.far.eps", "no", "attacks.far.eps: expected a valid number, got 'no'"),
        ("attacks.plain.inner", 1, "attacks.plain.inner: expected a mapping of settings, got 1"),
        (
            "attacks.plain.inner.depth",
            10,
            "attacks.plain.inner.depth: expected a number less than or equal to 9, got 10",
        ),
        ("attacks.plain.inner.depth", 1.0, "attacks.plain.inner.depth: expected a valid integer, got 1.0"),
        ("attacks.plain.inner.depth", True, "attacks.plain.inner.depth: expected a valid integer, got True"),
        ("attacks.plain.inner.fast", "yes", "attacks.plain.inner.fast: expected a valid boolean, got 'yes'"),
        ("attacks.plain.inner.fats", 1, "attacks.plain.inner.fats: unknown setting (misspelt?), got 1"),
        ("attacks.plain.inner.fast", ..., "attacks.plain.inner.fast: expected this setting, found none"),
    ],
)
def test_a_fault_names_its_key_what_was_expected_and_what_was_found(path, value, expected):
    assert message(changed(path, value)) == f"params.yaml: {expected}"


def test_the_section_leads_the_key_path():
    assert message(changed("attacks.pgd.norm", "l1"), "a.b").startswith("params.yaml: a.b.attacks.pgd.norm: expected")


def test_each_fault_has_a_line():
    lines = message({**changed("attacks.pgd.eps_255", -1), "name": 3, "more": 1}).splitlines()
    keys = ["params.yaml: name", "params.yaml: attacks.pgd.eps_255", "params.yaml: more"]
    assert [line.rsplit(": ", 1)[0] for line in lines] == keys


def test_good_settings_are_typed_and_cannot_change():
    settings = params.validate(GOOD, Outer, "")
    assert settings.attacks["pgd"] == Linf(method="pgd", norm="linf", eps_255=8) and settings.attacks["far"].eps is None
    with pytest.raises(ValueError, match="frozen"):
        settings.rate = 1.0


@pytest.mark.parametrize(
    ("path", "value", "got"),
    [
        ("rate", 1e300, "0 or a number from 1e-30 to 1e+09 in size, got 1e+300"),
        ("rate", -1.1e9, "0 or a number from 1e-30 to 1e+09 in size, got -1.1e+09"),
        ("rate", 1e-45, "0 or a number from 1e-30 to 1e+09 in size, got 1e-45"),
        ("attacks.pgd.eps_255", 1e300, "0 or a number from 1e-30 to 1e+09 in size, got 1e+300"),
        ("sizes", [1, 2**63], "an integer of 64 bits, got 9223372036854775808"),
    ],
)
def test_a_number_that_no_tensor_holds_is_refused(path, value, got):
    assert message(changed(path, value)) == f"params.yaml: {path}: expected {got}"


def test_the_largest_and_the_smallest_numbers_are_settings():
    for rate in (1e9, -1e9, 1e-30, 0.0):
        assert params.validate({**GOOD, "rate": rate, "sizes": [2**63 - 1]}, Outer, "").rate == rate


def test_a_whole_number_stands_for_a_float():
    assert params.validate({**GOOD, "rate": 2}, Outer, "").rate == 2.0


# ---- the file


def test_a_section_is_found_by_its_path(write):
    write("a: {b: {depth: 3, fast: true}}\nn: 4\n")
    assert params.load("a.b", Inner) == Inner(depth=3, fast=True) and params.load("n", int) == 4
    assert params.load("a", dict[str, Inner])["b"].depth == 3


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("c", "params.yaml: c: expected key 'c' in params.yaml, which has: a, n"),
        ("a.c", "params.yaml: a.c: expected key 'c' in a, which has: b"),
        ("a.b.c.d", "params.yaml: a.b.c.d: expected key 'c' in a.b, which has: depth, fast"),
        ("n.x", "params.yaml: n.x: expected key 'x' in n, which has: int"),
    ],
)
def test_an_absent_section_is_named_with_what_is_there(write, section, expected):
    write("a: {b: {depth: 3, fast: true}}\nn: 4\n")
    with pytest.raises(ValueError) as caught:
        params.load(section, Inner)
    assert str(caught.value) == expected


def test_a_fault_in_a_section_has_the_whole_path(write):
    write("a: {b: {depth: '3', fast: true}}\n")
    with pytest.raises(ValueError, match=r"^params\.yaml: a\.b\.depth: expected a valid integer, got '3'$"):
        params.load("a.b", Inner)


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "1.0e-3", "0.001", "10.e-4"])
def test_a_number_in_scientific_notation_is_a_number(write, number):
    write(f"rate: {number}\n")
    assert params.load("rate", float) == pytest.approx(0.001, rel=1e-12)


@pytest.mark.parametrize("text", ["e3", "1e", "1e3x", "'1e-3'", "-e-3"])
def test_text_that_looks_like_a_number_stays_text(write, text):
    write(f"name: {text}\n")
    assert params.load("name", str) == text.strip("'")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("attacks: {8: {eps: 1}}", r"attacks\.8: expected a key that is a word, got the int 8"),
        ("attacks: {'8': {eps: 1}}", r"attacks\.8: expected a key that is a word, got the str '8'"),
        ("attacks: {0.5: 1}", r"attacks\.0\.5: expected a key that is a word, got the float 0\.5"),
        ("runs: {true: 1}", r"runs\.True: expected a key that is a word, got the bool True"),
        ("runs: [{null: 1}]", r"runs\.None: expected a key that is a word, got the NoneType None"),
        ("attacks: {pgd: {eps.255: 1}}", r"attacks\.pgd\.eps\.255: expected a key of letters.*, got 'eps\.255'"),
        ("runs: {a/b: 1}", r"runs\.a/b: expected a key of letters, digits, _ and -, got 'a/b'"),
        ("runs: {two words: 1}", r"runs\.two words: expected a key of letters, digits, _ and -, got 'two words'"),
        ("runs: {'': 1}", r"runs\.: expected a key of letters, digits, _ and -, got ''"),
        ("runs: {-a: 1}", r"runs\.-a: expected a key of letters, digits, _ and -, got '-a'"),
        ("runs: {a: 1, b: 2, a: 3}", "expected YAML, got the key 'a' twice"),
        ("runs: {a: 1}\nruns: {b: 1}", "expected YAML, got the key 'runs' twice"),
        ("? [a, b]\n: 1", "expected YAML, got while constructing a mapping.*unhashable"),
        ("runs: {a: 1", "expected YAML, got while parsing a flow mapping"),
        ("\truns: 1", "expected YAML, got while scanning"),
        ("- a\n- b", "expected a mapping of sections, got list"),
        ("", "expected a mapping of sections, got NoneType"),
    ],
)
def test_a_file_dvc_could_not_track_is_refused(write, text, expected):
    write(text)
    with pytest.raises(ValueError, match=rf"(?s)^params\.yaml: {expected}"):
        params.read()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=rf"{tmp_path}/study.yaml: expected a parameter file, found none"):
        params.read(tmp_path / "study.yaml")


def test_a_file_that_is_not_text_is_named(tmp_path):
    (tmp_path / "study.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(ValueError, match=rf"{tmp_path}/study.yaml: expected YAML, got 'utf-8' codec"):
        params.read(tmp_path / "study.yaml")


def test_anchors_and_merges_are_yaml_as_before(write):
    write("a: &a {depth: 3, fast: true}\nb: {<<: *a, depth: 4}\n")
    assert params.load("b", Inner) == Inner(depth=4, fast=True)


WORDS = [
    *("010", "0o10", "08", "1_000", "12:30", "1:2.5", "0b11", "0x1F", "1e3", "1.5e3", "1E5", "1e+5", "1e-3", "1."),
    *(".5", "+1", "-0", "00", "-010", "0o17", "1.2.3", "1,000", "-1_0.5e-3", "._1", "0.0_1", "0b2", "0xg", "1e", "+.5"),
    *("yes", "no", "on", "off", "Yes", "y", "~", "null", "Null", "NULL", "true", "True", "TRUE", "-.inf", ".nan"),
    *("2026-01-01", "2026-01-01T10:00:00", "abc"),
]


@pytest.mark.parametrize("word", WORDS)
def test_a_plain_word_is_read_as_dvc_reads_it(write, word):
    theirs = repr(parse_yaml(f"a: {word}", "params.yaml"))
    write(f"a: {word}")
    assert repr(params.read()) == theirs


HOSTILE = {
    "within itself": "a: &x [*x]",
    "within itself, by a key": "a: &x {b: {c: *x}}",
    "exploding": "".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10) if n else 1}]\n" for n in range(9)),
    "deep": "a: " + "{b: " * 1200 + "1" + "}" * 1200,
    "deep list": "a: " + "[" * 5000 + "]" * 5000,
    "no date": "a: 2026-13-45",
    "long number": "a: " + "9" * 5000,
    "underscores": "a: _",
    "tag": "a: !!python/object/apply:os.system [ls]",
    "control": "a: \x07",
    "two documents": "a: 1\n---\na: 2",
    "sets": "a: !!int x",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_a_sentence_and_at_once(write, name):
    write(HOSTILE[name])
    if name == "underscores":
        assert params.read() == {"a": "_"}
        return
    with pytest.raises(ValueError, match=r"^params\.yaml: expected "):
        params.read()
