"""Tables of attributions as `compare` and the checks make them, without torch: their columns, and several as one."""

import pandas as pd


def band_columns(table: pd.DataFrame) -> list[str]:
    """The columns band_0, band_1, ... of a table."""
    return [name for name in table if name.startswith("band_")]


def stacked(found: list[dict[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """The tables of each name one below the other; a name whose tables are all empty has an empty one."""
    names = dict.fromkeys(name for tables in found for name in tables)
    filled = {name: [tables[name] for tables in found if name in tables and len(tables[name])] for name in names}
    return {name: pd.concat(tables or [pd.DataFrame()]) for name, tables in filled.items()}
