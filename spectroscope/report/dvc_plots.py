"""Rewrite the template of `dvc plots show`: python -m spectroscope.report.dvc_plots .dvc/plots/offline.html"""

import sys
from pathlib import Path

from spectroscope.pipeline import files
from spectroscope.report import page

if __name__ == "__main__":
    files.write_text(Path(sys.argv[1]), page.plots_template())
