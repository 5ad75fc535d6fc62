"""What do the images look like in each band of frequencies?"""

from spectroscope.bands import BandSettings, apply_band, check_bands
from spectroscope.pipeline import io, params
from spectroscope.pipeline.supervision import start
from stages import In, Name, Out


def main(band: Name, train: In, test: In, out: Out) -> None:
    bands = params.load("bands", dict[str, BandSettings])
    paths = {"train": train, "test": test}
    splits = {split: io.read_images(path) for split, path in paths.items()}
    for images in splits.values():
        check_bands(bands, *images.pixels.shape[-2:])

    left = {split: apply_band(images, bands[band], split == "train") for split, images in splits.items()}

    for split, images in left.items():
        io.write_images(out / f"{split}.parquet", images, **io.read_facts(paths[split]) | {"band": band})


if __name__ == "__main__":
    start(main)
