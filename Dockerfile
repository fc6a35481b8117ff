# Built in one stage, run from another that has neither pip's cache nor a compiler.
FROM python:3.11-slim-bookworm AS build
# what of pyproject.toml's optional packages is in it; `--build-arg EXTRAS=http,llm,otel,postgres` for others
ARG EXTRAS=http,otel,postgres
WORKDIR /src
RUN python3 -m venv /opt/greenroom
COPY constraints.txt ./
COPY pyproject.toml README.md LICENSE ./
COPY proto proto
COPY core core
COPY tools tools
COPY agents agents
COPY storage storage
COPY edge edge
COPY rehearsal rehearsal
COPY cli cli
RUN /opt/greenroom/bin/python -m pip install --no-cache-dir --disable-pip-version-check -c constraints.txt ".[${EXTRAS}]" \
    && /opt/greenroom/bin/python -m compileall -q /opt/greenroom/lib \
    && /opt/greenroom/bin/python -m pip uninstall --yes --quiet pip

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --create-home --home-dir /data greenroom
COPY --from=build /opt/greenroom /opt/greenroom
ENV PATH=/opt/greenroom/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GREENROOM_HOST=0.0.0.0 \
    GREENROOM_LOG_FORMAT=json
# the database of a single container, an agent of one's own and greenroom.toml are looked for here
WORKDIR /data
USER greenroom
EXPOSE 8000 50051
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD python -m greenroom.cli.probe "http://127.0.0.1:${GREENROOM_PORT:-${PORT:-8000}}/readyz"
ENTRYPOINT ["greenroom"]
CMD ["serve"]
