"""The picture of a study for a README: Occluded Frequency curves beside accuracy under attack."""

import altair as alt
import pandas as pd

from spectroscope.report import charts, style, words
from spectroscope.report.chapters import attribution
from spectroscope.report.style import RunColours


def overview(frequency: pd.DataFrame, accuracy: pd.DataFrame, run_colours: RunColours) -> alt.TopLevelMixin:
    """Left what the networks rely on, right what they withstand."""
    frequency = frequency[frequency["score"] == attribution.HEADLINE]
    source = alt.Chart(charts.inline(frequency.assign(**{"class": attribution.MEAN}), "run", "class", "shell"))
    left = attribution.curves_above_dc(source, run_colours)
    left = left.properties(width=420, height=300, title="What the networks rely on").add_params(style.highlight())
    right = charts.dots_by_row(accuracy, run_colours, "attack", style.axis(alt.X, "accuracy", ".0%", 5), width=300)
    both = alt.hconcat(left, right.properties(height=300, title="What they withstand"), spacing=36)
    return style.styled(both, words.sample_note(frequency)).properties(background="white")
