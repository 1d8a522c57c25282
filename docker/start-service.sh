#!/bin/sh
# Starts the service; at its first start it makes one token of each role into TUNEWELL_TOKEN_FOLDER (readable by the owner only),
# that of workers into TUNEWELL_WORKER_TOKEN_FOLDER: what runs trials is to see no other.
set -eu
umask 077
tokens=${TUNEWELL_TOKEN_FOLDER:-/tokens}
worker_token=${TUNEWELL_WORKER_TOKEN_FOLDER:-$tokens}
tunewell migrate
for role in admin submitter worker reader; do
  folder=$tokens
  [ "$role" != worker ] || folder=$worker_token
  if [ ! -s "$folder/$role" ]; then
    tunewell token create --role "$role" --name "first-$role" --quiet > "$folder/$role.new"
    mv "$folder/$role.new" "$folder/$role"
  fi
done
exec tunewell serve --host "${TUNEWELL_HOST:-0.0.0.0}" --port "${TUNEWELL_PORT:-8700}"
