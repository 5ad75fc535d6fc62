"""Which images are the networks trained and tested on?"""

from spectroscope.dataset.registry import DatasetSettings, load
from spectroscope.pipeline import io, params
from spectroscope.pipeline.supervision import start
from stages import Out


def main(train: Out, test: Out) -> None:
    settings = params.load("dataset", DatasetSettings)

    dataset = load(settings)

    io.write_images(train, dataset.train, source=settings.name, digest=dataset.digest)
    io.write_images(test, dataset.test, source=settings.name, digest=dataset.digest)


if __name__ == "__main__":
    start(main)
