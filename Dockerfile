# How to build and run it: docs/containers.md.
FROM python:3.11-slim-bookworm

# Beyond Python, README's commands need make; git tells a record which commit made it.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends git make && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY . .
RUN git config --system --add safe.directory /app && make setup

CMD ["make", "reproduce-lra"]
