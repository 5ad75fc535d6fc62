"""Which bands of the images carry information about the class?"""

from spectroscope import information
from spectroscope.information import InformationSettings
from spectroscope.pipeline import io, params
from spectroscope.pipeline.progress import track
from spectroscope.pipeline.supervision import start
from spectroscope.statistics.estimates import StatisticsSettings
from stages import In, Out


def main(train: In, test: In, spectra: Out, probes: Out) -> None:
    settings = params.load("information", InformationSettings)
    statistics = params.load("statistics", StatisticsSettings)
    train_images = io.read_images(train).head(settings.n_train)
    test_images = io.read_images(test).head(settings.n_test)

    class_spectra = information.class_spectra(train_images, statistics)
    accuracies = information.probes(train_images, test_images, settings, statistics, track)

    io.write_table(spectra, class_spectra)
    io.write_table(probes, accuracies)


if __name__ == "__main__":
    start(main)
