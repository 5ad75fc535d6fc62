"""Claims of a study, made beforehand: an effect, what must not show it, and what must have happened besides."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from spectroscope.pipeline.params import Settings
from spectroscope.statistics.cells import KEYS

FEWEST_RUNS = 6  # fewer give a rank correlation no interval worth the name
NUMBERED = {
    ("calibrated", "shell"),
    ("counterparts", "shell"),
    ("margins", "band"),
    ("layers", "band"),
}  # columns of numbers
Table = Literal[
    "accuracy",
    "band_accuracy",
    "reliance",
    "band_loss",
    "attacks",
    "confined",
    "attack_transfer",
    "calibrated",
    "margins",
    "counterparts",
    "layers",
    "concordance",
    "choices",
]
Value = str | int | list[int]
Margin = Annotated[float, Field(ge=0)]


class Difference(Settings):
    """The row of `table` with the values `where`, minus the same row with the values `less` in their place, if any.

    A column of numbers takes two of them too: the mean of the rows from the first number to the one before the second.
    """

    table: Table
    where: dict[str, Value]
    less: dict[str, Value] | None

    @model_validator(mode="after")
    def _columns_exist(self) -> "Difference":
        check_columns(self.table, self.where, "where", KEYS[self.table])
        if self.less is not None:
            if not self.less or not set(self.less) <= set(self.where):
                known = ", ".join(KEYS[self.table])
                raise ValueError(f"expected less: some of {known}, got {', '.join(self.less) or 'none'}")
            check_columns(self.table, self.less, "less", tuple(self.less))
        return self


class Statistic(Settings):
    """A statistic of every run: the row of `table` with the values `where` and the run."""

    table: Table
    where: dict[str, Value]

    @model_validator(mode="after")
    def _columns_exist(self) -> "Statistic":
        columns = tuple(column for column in KEYS[self.table] if column != "run")
        check_columns(self.table, self.where, "where", columns)
        return self


class Correlation(Settings):
    """Spearman's rank correlation of two statistics over `runs`; a run counts once, by the mean of its networks."""

    across: Literal["runs"]
    x: Statistic
    y: Statistic
    runs: list[str]

    @field_validator("runs")
    @classmethod
    def _enough_runs(cls, runs: list[str]) -> list[str]:
        if len(set(runs)) != len(runs) or len(runs) < FEWEST_RUNS:
            raise ValueError(f"expected at least {FEWEST_RUNS} different runs, got {', '.join(runs) or 'none'}")
        return runs


class Extreme(Settings):
    """`run` minus `less` in a statistic of Occluded Frequency, under the choice that makes it largest or smallest.

    Of the combinations of choices in `validation.multiverse`, those that give both runs a centre of reliance.
    """

    across: Literal["choices"]
    take: Literal["largest", "smallest"]
    statistic: Literal["centroid", "hf_share"]
    run: str
    less: str

    @model_validator(mode="after")
    def _two_runs(self) -> "Extreme":
        if self.run == self.less:
            raise ValueError(f"expected two different runs, got {self.run} twice")
        return self


FORMS = {None: "of_rows", "runs": "over_runs", "choices": "over_choices"}


def _form(value: Any) -> str:
    across = value.get("across") if isinstance(value, Mapping) else getattr(value, "across", None)
    if across not in FORMS:
        raise ValueError(f"expected across: runs or choices, or none, got {across!r}")
    return FORMS[across]


def _form_of_control(value: Any) -> str:
    return "reason" if isinstance(value, str) else _form(value)


Effect = Annotated[
    Annotated[Difference, Tag("of_rows")]
    | Annotated[Correlation, Tag("over_runs")]
    | Annotated[Extreme, Tag("over_choices")],
    Discriminator(_form),
]
Control = Annotated[
    Annotated[Difference, Tag("of_rows")]
    | Annotated[Correlation, Tag("over_runs")]
    | Annotated[Extreme, Tag("over_choices")]
    | Annotated[str, Tag("reason")],
    Discriminator(_form_of_control),
]


class Manipulation(Settings):
    """An effect without which a claim about a cause is void: the cause must have been there."""

    effect: Effect
    expect: Literal["above", "below"]
    margin: Margin


class Claim(Settings):
    """`says` what is claimed: `effect` lies `above` `margin`, or `below` minus `margin`, in `unit`; `why` this margin.

    `control`: the same where the cause is absent; a claim whose control shows the effect is void. Or, in words, why
    there is none. `manipulation`: effects that must be supported too.
    """

    says: str
    why: str
    effect: Effect
    control: Control
    manipulation: list[Manipulation]
    expect: Literal["above", "below"]
    margin: Margin
    unit: str


Claims = dict[str, Claim]


def check_columns(table: str, given: Mapping[str, Value], key: str, columns: tuple[str, ...]) -> None:
    """ValueError where the columns are others, or a value is of another kind than its column."""
    if set(given) != set(columns):
        raise ValueError(f"expected {key} with {', '.join(columns)}, got {', '.join(given) or 'none'}")
    for column, value in given.items():
        if (table, column) not in NUMBERED:
            if not isinstance(value, str):
                raise ValueError(f"expected {key}.{column} to be a name, got {value!r}")
        elif isinstance(value, str) or (isinstance(value, list) and not (len(value) == 2 and value[0] < value[1])):
            raise ValueError(f"expected {key}.{column} to be a number, or two in order, got {value!r}")
