# The service in a container, for CPUs and for NVIDIA GPUs:
#   docker build -t superpixel-service:0.1.0 .
#   docker build -t superpixel-service:0.1.0-cuda --target cuda .
#   docker run --read-only --tmpfs /tmp -p 50051:50051 -p 50052:50052 -p 9090:9090 superpixel-service:0.1.0 --allow-plaintext
# In a container the server listens beyond loopback, so it needs TLS (SUPERPIXEL_TLS_CERT_FILE, SUPERPIXEL_TLS_KEY_FILE) or
# --allow-plaintext. deploy/README.md, "The image", describes where the digest of BASE comes from; `make image-base` renews it.

# Python 3.11 on Debian, because the locks in deploy/image are for it.
ARG BASE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
# Timestamp of the files in the wheel, in seconds since 1970. Any constant works.
ARG SOURCE_DATE_EPOCH=1763769600

# ---- the wheel, once for both images --------------------------------------------------------------------------------
FROM ${BASE} AS wheel
# Debian's release in BASE fixes the compiler's version.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY deploy/image/build.txt /locks/
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --only-binary :all: --require-hashes --requirement /locks/build.txt
COPY pyproject.toml CMakeLists.txt README.md LICENSE ./
COPY kernels kernels
COPY protos protos
COPY third_party third_party
COPY service service
COPY frontend/page frontend/page
COPY frontend/src frontend/src
COPY examples/photos examples/photos
ARG SOURCE_DATE_EPOCH
RUN PATH=/opt/build/bin:$PATH SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} \
    pip wheel --no-cache-dir --no-build-isolation --no-deps --wheel-dir /wheels .

# ---- /opt/superpixel of each image: locked packages, then the wheel; no pip ------------------------------------------
FROM ${BASE} AS installer
RUN python3 -m venv /opt/installer \
    && python3 -m venv --without-pip /opt/superpixel
ENV PATH=/opt/installer/bin:$PATH \
    PIP_PYTHON=/opt/superpixel/bin/python

# Bytecode is compiled here because the running image is read-only. It is checked by hash, because times differ per build.
FROM installer AS cpu-packages
COPY deploy/image/cpu.txt /locks/
RUN pip install --no-cache-dir --no-compile --only-binary :all: --require-hashes --requirement /locks/cpu.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir --no-compile --no-index --no-deps /wheels/*.whl \
    && pip check \
    && PYTHONHASHSEED=0 /opt/superpixel/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/superpixel

FROM installer AS bulk-packages
COPY deploy/image/bulk.txt /locks/
RUN pip install --no-cache-dir --no-compile --only-binary :all: --require-hashes --requirement /locks/bulk.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir --no-compile --no-index --no-deps /wheels/*.whl \
    && pip check \
    && PYTHONHASHSEED=0 /opt/superpixel/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/superpixel

FROM installer AS cuda-packages
COPY deploy/image/cuda.txt /locks/
# The package has NVRTC twice, but only libnvrtc.so is ever loaded.
RUN pip install --no-cache-dir --no-compile --only-binary :all: --require-hashes --requirement /locks/cuda.txt \
    && find /opt/superpixel -name 'libnvrtc*.alt.so*' -delete
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir --no-compile --no-index --no-deps /wheels/*.whl \
    && pip check \
    && PYTHONHASHSEED=0 /opt/superpixel/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/superpixel

# ---- shared by both images -------------------------------------------------------------------------------------------
FROM ${BASE} AS runtime
# SOURCE_DATE_EPOCH sets the date in /etc/shadow.
ARG SOURCE_DATE_EPOCH
RUN groupadd --system --gid 10001 superpixel \
    && SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} useradd --system --no-log-init --uid 10001 --gid 10001 \
       --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin superpixel
# A number, because Kubernetes cannot verify that a user name is not root.
USER 10001:10001
ENV PATH=/opt/superpixel/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
EXPOSE 50051 50052 9090
STOPSIGNAL SIGTERM
# The health port is plaintext even if the main port has TLS. Kubernetes ignores this and uses its own probes. The start period
# is long because with a GPU the server compiles its kernels before it is healthy.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5m CMD ["superpixel", "health", "127.0.0.1:50052"]
ENTRYPOINT ["superpixel", "serve", \
            "--listen", "0.0.0.0:50051", "--health-listen", "0.0.0.0:50052", "--metrics-listen", "0.0.0.0:9090"]
ARG BASE
ARG REVISION=unknown
LABEL org.opencontainers.image.title="superpixel-service" \
      org.opencontainers.image.description="Nested superpixels for annotation platforms, over gRPC" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"

# ---- the images -----------------------------------------------------------------------------------------------------
FROM runtime AS cuda
# /tmp is writable even in a read-only image, so kernels compiled for the node's GPU are stored there. The driver comes from
# the node: NVIDIA's container toolkit mounts the capabilities named here, and GKE's device plugin mounts it below
# /usr/local/nvidia, where the loader does not look by default.
ENV CUPY_CACHE_DIR=/tmp/cupy \
    CUDA_CACHE_PATH=/tmp/cuda \
    LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=cuda-packages /opt/superpixel /opt/superpixel

# For data sets: Parquet, buckets, Ray. It has no server to check.
FROM runtime AS bulk
ENTRYPOINT []
HEALTHCHECK NONE
# Ray writes into the home folder.
ENV HOME=/tmp
COPY --from=bulk-packages /opt/superpixel /opt/superpixel

# Last, because a build without a target builds the last stage.
FROM runtime AS cpu
COPY --from=cpu-packages /opt/superpixel /opt/superpixel
