# Two images from one file: `--target service` (no torch inside) and `--target worker`.
# Every RUN line is a script of docker/, which the tests run too.
FROM python:3.13-slim AS build
COPY . /source
RUN /source/docker/build-wheel.sh /source /wheels

FROM python:3.13-slim AS base
COPY docker /docker
RUN /docker/add-user.sh /checkpoints /data /state /tokens /worker-token
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

FROM base AS service
COPY --from=build /wheels /wheels
COPY requirements/constraints.txt /wheels/constraints.txt
RUN /docker/install.sh /wheels server,parquet /venv /wheels/constraints.txt
USER tunewell
EXPOSE 8700
HEALTHCHECK --interval=10s --timeout=4s --start-period=30s --retries=3 CMD ["/docker/healthy.sh"]
ENTRYPOINT ["/docker/start-service.sh"]

FROM base AS worker
COPY --from=build /wheels /wheels
COPY requirements/constraints.txt /wheels/constraints.txt
RUN /docker/install.sh /wheels worker /venv /wheels/constraints.txt
USER tunewell
ENV TUNEWELL_STATE_DIR=/state TUNEWELL_DATA_DIR=/data
ENTRYPOINT ["/docker/start-worker.sh"]
