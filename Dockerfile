# The service with everything it needs. Models and results live in the volume /data.
#
#   docker build --tag ourvidz .
#   docker build --tag ourvidz:cpu --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .
#
# The default torch brings its own CUDA libraries; the host needs the NVIDIA driver and its
# container toolkit, nothing else.

FROM python:3.12-slim-bookworm AS build

ARG TORCH="torch==2.13.0"
ARG TORCH_INDEX="https://pypi.org/simple"
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

RUN python -m venv /opt/venv
ENV PATH="/opt/venv/bin:${PATH}"
WORKDIR /src

# Torch alone first: it is by far the largest layer and changes least.
COPY constraints.txt ./
RUN pip install --constraint constraints.txt --index-url "${TORCH_INDEX}" \
      --extra-index-url https://pypi.org/simple "${TORCH}"

COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --constraint constraints.txt ".[engine,hub,gpu,serve,postgres,bridge,cluster]"

FROM python:3.12-slim-bookworm

# Triton builds its launchers with a C compiler.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev tini \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 10001 ourvidz \
 && install --directory --owner ourvidz /data

COPY --from=build /opt/venv /opt/venv
ENV PATH="/opt/venv/bin:${PATH}" \
    OURVIDZ_DATA_DIR=/data \
    PYTHONUNBUFFERED=1

USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000

HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]

# tini passes SIGTERM on: the service then drains its workers and keeps every job.
ENTRYPOINT ["tini", "--", "ourvidz"]
CMD ["serve", "--host", "0.0.0.0"]
