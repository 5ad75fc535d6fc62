"""Is every setting of the study valid? All of params.yaml, and the files it names, are checked before any work."""

from spectroscope.pipeline import io, params
from spectroscope.pipeline.supervision import start
from spectroscope.study import Study, check_files
from stages import Out


def main(out: Out) -> None:
    check_files(params.validate(params.read(), Study, ""))
    io.write_text(out, "every setting of params.yaml is valid\n")


if __name__ == "__main__":
    start(main)
