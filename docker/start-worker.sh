#!/bin/sh
# Starts a worker with the token in its environment, else with the one that the service made for workers; the service is healthy
# before this runs.
set -eu
: "${TUNEWELL_TOKEN:=$(cat "${TUNEWELL_TOKEN_FOLDER:-/tokens}/worker")}"
export TUNEWELL_TOKEN
exec tunewell worker run --url "$TUNEWELL_URL" --slots "${TUNEWELL_SLOTS:-1}" --devices auto "$@"
