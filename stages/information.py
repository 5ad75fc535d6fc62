"""Which bands of the images carry information about the class?"""

from spectroscope import information
from spectroscope.bootstrap import StatisticsSettings
from spectroscope.information import InformationSettings
from spectroscope.pipeline import io, params
from spectroscope.pipeline.progress import track
from spectroscope.pipeline.supervision import start
from stages import In, Out


def main(train: In, test: In, spectra: Out, probes: Out) -> None:
    settings = params.load("information", InformationSettings)
    statistics = params.load("statistics", StatisticsSettings)
    training, testing = io.read_images(train).head(settings.n_train), io.read_images(test).head(settings.n_test)

    x, labels = training.pixels, training.labels
    class_spectra = information.class_spectra(x, labels, training.classes, statistics)
    accuracy = information.probes(
        (x, labels), (testing.pixels, testing.labels), len(training.classes), settings, statistics, track
    )

    io.write_table(spectra, class_spectra)
    io.write_table(probes, accuracy)


if __name__ == "__main__":
    start(main)
