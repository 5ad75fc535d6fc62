"""Is the study well posed? Every setting is read and checked before any work."""

from spectroscope.pipeline import io, params
from spectroscope.study import Study
from stages import Out, start


def main(out: Out) -> None:
    params.validate(params.read(), Study, "")
    io.write_text(out, "every setting of params.yaml is valid\n")


if __name__ == "__main__":
    start(main)
