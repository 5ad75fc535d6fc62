"""What did the study find? One page to look at."""

from spectroscope.pipeline import arrays, files, params  # not io, whose images and weights import torch
from spectroscope.pipeline.supervision import start
from spectroscope.report import charts, contents, page
from spectroscope.report.chapters import evaluation
from spectroscope.report.overview import overview as draw_overview
from spectroscope.report.results import Results, read_adversaries, read_tables
from stages import In, Out


def main(
    warnings: In,
    tables: In,
    maps: In,
    attribution: In,
    images: In,
    bands: In,
    attacks: In,
    out: Out,
    summary: Out,
    overview: Out,
) -> None:
    settings = params.read()
    results = Results(
        settings=settings,
        provenance=arrays.read_facts(images),
        warnings=files.read_json(warnings),
        tables=read_tables(tables),
        rct_maps=files.read_table(maps),
        attribution_maps={run: files.read_table(attribution / run / "maps.parquet") for run in settings["runs"]},
        images=arrays.read_images(images),
        bands={band: arrays.read_images(bands / band / "test.parquet") for band in settings["bands"]},
        adversaries=read_adversaries(attacks, settings),
    )

    html = contents.write(results)
    markdown = page.markdown(*evaluation.results_table(results))
    picture = draw_overview(results.tables["occluded_frequency"], results.tables["accuracy"], results.run_colours)

    files.write_text(out, html)
    files.write_text(summary, markdown)
    files.write_text(overview, charts.svg(picture))


if __name__ == "__main__":
    start(main)
