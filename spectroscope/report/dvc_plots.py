"""Rewrite the template of `dvc plots show`: python -m spectroscope.report.dvc_plots .dvc/plots/offline.html"""

import sys
from pathlib import Path

from spectroscope.pipeline import io
from spectroscope.report import page

if __name__ == "__main__":
    io.write_text(Path(sys.argv[1]), page.plots_template())
