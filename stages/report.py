"""What did the study find?"""

from spectroscope.pipeline import io, params
from spectroscope.pipeline.supervision import start
from spectroscope.report import evidence, figures, page, story, style
from stages import In, Out


def main(
    metrics: In,
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
    settings, facts = params.read(), io.read_json(metrics)
    table = {name: io.read_table(tables / f"{name}.csv") for name in story.TABLES}
    rct, test = io.read_table(maps), io.read_images(images)
    weighed = {name: io.read_table(tables / f"{name}.csv") for name in evidence.TABLES}
    mapped = {run: io.read_table(attribution / run / "maps.parquet") for run in settings["runs"]}
    filtered = {band: io.read_images(bands / band / "test.parquet") for band in settings["bands"]}
    cells = {}
    for run in settings["runs"]:
        for attack in settings["attacks"]:
            for name, (change, rows) in io.read_attack(attacks / run / f"{attack}.parquet").items():
                cells[run, name] = story.candidates(change, rows)

    hues = style.colours(list(settings["runs"]))
    results = page.markdown(*story.results(table["accuracy"], table["reliance"], hues))
    picture = figures.overview(table["occluded_frequency"], table["accuracy"], hues)
    *told, limits = story.sections(settings, facts["about"], facts["warnings"], table, rct, test, filtered, cells)
    sections = [*told, *evidence.sections(weighed, mapped, hues), limits]

    io.write_text(out, page.render(story.TITLE, (story.LEAD,), sections))
    io.write_text(summary, results)
    figures.export(picture, overview)


if __name__ == "__main__":
    start(main)
