# The command `spectroscope` without a clone: profile a network of yours on images of yours.
#
#   docker build --tag spectroscope .
#   docker run --rm --volume "$PWD:/work" spectroscope profile net.pth --architecture resnet20 images/ --out profile
#
# With a GPU: `docker build --build-arg TORCH=cu126 --tag spectroscope .`, then `docker run --gpus all ...`
ARG PYTHON=3.11
FROM python:${PYTHON}-slim

# `cpu`, or the CUDA version of PyTorch's wheels, such as cu126: uv takes torch and torchvision that belong together.
ARG TORCH=cpu
ARG EXTRAS=timm,transformers,onnx

WORKDIR /opt/spectroscope
COPY pyproject.toml README.md LICENSE ./
COPY spectroscope spectroscope
RUN pip install --no-cache-dir uv \
    && uv pip install --system --no-cache --torch-backend "${TORCH}" ".[${EXTRAS}]" \
    && spectroscope --version

WORKDIR /work
ENTRYPOINT ["spectroscope"]
CMD ["--help"]
