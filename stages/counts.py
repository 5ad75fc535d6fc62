"""Do the images suffice for what every setting asks of them?"""

from spectroscope import counts
from spectroscope.pipeline import io, params
from spectroscope.pipeline.supervision import start
from stages import In, Out


def main(train: In, test: In, out: Out) -> None:
    study, images = params.read(), {"train": io.read_images(train), "test": io.read_images(test)}

    faults = counts.faults(study, images["train"], images["test"])

    if faults:
        raise ValueError("\n".join(f"{params.FILE}: {fault}" for fault in faults))
    io.write_text(out, "the images suffice for every setting of params.yaml\n")


if __name__ == "__main__":
    start(main)
