"""Which images?"""

from spectroscope.dataset.registry import DatasetSettings, load
from spectroscope.pipeline import io, params
from stages import Out, start


def main(train: Out, test: Out) -> None:
    settings = params.load("dataset", DatasetSettings)

    dataset = load(settings)

    for out, images in ((train, dataset.train), (test, dataset.test)):
        io.write_images(out, images, source=settings.name, digest=dataset.digest)


if __name__ == "__main__":
    start(main)
