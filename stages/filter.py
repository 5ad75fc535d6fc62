"""What is left of the images in a band of frequencies?"""

from dataclasses import replace

from spectroscope import io, params
from spectroscope.spectrum import Band, band_filter, check_bands
from stages import In, Name, Out, start


def main(band: Name, train: In, test: In, out: Out) -> None:
    bands = params.load("bands", dict[str, Band])
    paths = {"train": train, "test": test}
    splits = {split: io.read_images(path) for split, path in paths.items()}
    for images in splits.values():
        check_bands(bands, *images.pixels.shape[-2:])

    filtered = {
        split: replace(images, pixels=band_filter(images.pixels, bands[band])) for split, images in splits.items()
    }

    for split, images in filtered.items():
        io.write_images(out / f"{split}.parquet", images, **io.read_facts(paths[split]) | {"band": band})


if __name__ == "__main__":
    start(main)
