"""What information is in each band?"""

from spectroscope import information
from spectroscope.bootstrap import StatisticsSettings
from spectroscope.information import InformationSettings
from spectroscope.pipeline import io, params
from spectroscope.pipeline.progress import track
from stages import In, Out, start


def main(train: In, test: In, spectra: Out, probes: Out) -> None:
    settings = params.load("information", InformationSettings)
    statistics = params.load("statistics", StatisticsSettings)
    learn, judge = io.read_images(train).head(settings.n_train), io.read_images(test).head(settings.n_test)

    pairs = [(images.pixels, images.labels) for images in (learn, judge)]
    of_classes = information.class_spectra(*pairs[0], learn.classes, statistics)
    accuracy = information.probes(*pairs, len(learn.classes), settings, statistics, track)

    io.write_table(spectra, of_classes)
    io.write_table(probes, accuracy)


if __name__ == "__main__":
    start(main)
