# CPU:  docker build -t speechlm .
# CUDA: docker build -t speechlm:cuda --build-arg BASE=nvidia/cuda:12.8.1-runtime-ubuntu24.04 .
# Use:  docker run --rm -v "$PWD:/data" speechlm compress /data/in.wav /data/out.slm --kbps 3
ARG BASE=python:3.12-slim
FROM ${BASE}
ARG EXTRAS=asr,live
ENV DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-venv libsndfile1 \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/speechlm
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY speechlm ./speechlm
COPY recipes ./recipes
COPY data ./data
COPY eval ./eval
RUN python3 -m venv /opt/venv \
 && /opt/venv/bin/pip install --constraint constraints.txt ".[${EXTRAS}]"
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /data
ENTRYPOINT ["speechlm"]
CMD ["--help"]
