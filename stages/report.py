"""What did the study find? One page to look at."""

from spectroscope.pipeline import io, params
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
        provenance=io.read_facts(images),
        warnings=io.read_json(warnings),
        tables=read_tables(tables),
        rct_maps=io.read_table(maps),
        attribution_maps={run: io.read_table(attribution / run / "maps.parquet") for run in settings["runs"]},
        images=io.read_images(images),
        bands={band: io.read_images(bands / band / "test.parquet") for band in settings["bands"]},
        adversaries=read_adversaries(attacks, settings),
    )

    html = contents.write(results)
    markdown = page.markdown(*evaluation.results_table(results))
    picture = draw_overview(results.tables["occluded_frequency"], results.tables["accuracy"], results.run_colours)

    io.write_text(out, html)
    io.write_text(summary, markdown)
    io.write_text(overview, charts.svg(picture))


if __name__ == "__main__":
    start(main)
