# syntax=docker/dockerfile:1
# The server and the dashboard in one image; compose.yaml starts both. See docs/docker.md.
#
#   docker build --tag inquisight .
#
# PYTHON       version of Python
# EXTRAS       optional parts to install; docs/install.md lists them
# TORCH_INDEX  package index with another build of PyTorch; pytorch.org names the one for CPUs
# UID          numeric user and group that the container runs as

ARG PYTHON=3.13

FROM python:${PYTHON}-slim-bookworm AS build
ARG EXTRAS=openai,ocr,serve,ui,video
ARG TORCH_INDEX=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/inquisight
ENV PATH=/opt/inquisight/bin:$PATH
WORKDIR /source
COPY . .
RUN pip install --quiet --constraint constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} ".[$EXTRAS]"

FROM python:${PYTHON}-slim-bookworm
ARG UID=1000
RUN groupadd --gid "$UID" inquisight \
    && useradd --uid "$UID" --gid "$UID" --no-create-home --home-dir /data --shell /usr/sbin/nologin inquisight \
    && install --directory --owner="$UID" --group="$UID" /data /models
COPY --from=build /opt/inquisight /opt/inquisight
ENV PATH=/opt/inquisight/bin:$PATH \
    HOME=/data \
    INQUISIGHT_HOME=/data/inquisight \
    HF_HUB_CACHE=/models/hub \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER $UID
WORKDIR /data
VOLUME ["/data", "/models"]
EXPOSE 8300 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=90s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8300/health', timeout=4)"]
ENTRYPOINT ["inquisight"]
CMD ["serve", "--host", "0.0.0.0", "--api-key-file", "/run/secrets/api_keys"]
