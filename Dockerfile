# The service on a CPU. Two stages: the wheel is built where the compiler is; the image that runs has neither compiler nor
# sources.
#   docker build -t superpixel-service .
#   docker run --read-only -p 50051:50051 -p 50052:50052 -p 9090:9090 superpixel-service --allow-plaintext
# In a container the server listens beyond loopback, so it wants TLS (SUPERPIXEL_TLS_CERT_FILE, SUPERPIXEL_TLS_KEY_FILE) or to
# be told to do without.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
RUN apt-get update \
    && apt-get install --no-install-recommends --yes g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY pyproject.toml CMakeLists.txt README.md LICENSE ./
COPY kernels kernels
COPY service service
RUN python3 -m venv /opt/superpixel \
    && /opt/superpixel/bin/python -m pip install --no-cache-dir .

FROM ${BASE}
LABEL org.opencontainers.image.title="superpixel-service" \
      org.opencontainers.image.description="Nested superpixels for annotation platforms, over gRPC" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/superpixel /opt/superpixel
RUN useradd --system --uid 10001 --no-create-home superpixel
USER 10001
ENV PATH=/opt/superpixel/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
EXPOSE 50051 50052 9090
STOPSIGNAL SIGTERM
HEALTHCHECK CMD ["superpixel", "health", "127.0.0.1:50052"]
ENTRYPOINT ["superpixel", "serve", \
            "--listen", "0.0.0.0:50051", "--health-listen", "0.0.0.0:50052", "--metrics-listen", "0.0.0.0:9090"]
