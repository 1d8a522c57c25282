#!/bin/sh
# Starts the service; at its first start it makes one token of each role into TUNEWELL_TOKEN_FOLDER (readable by the owner only).
set -eu
umask 077
folder=${TUNEWELL_TOKEN_FOLDER:-/tokens}
tunewell migrate
for role in admin submitter worker reader; do
  if [ ! -s "$folder/$role" ]; then
    tunewell token create --role "$role" --name "first-$role" --quiet > "$folder/$role.new"
    mv "$folder/$role.new" "$folder/$role"
  fi
done
exec tunewell serve --host "${TUNEWELL_HOST:-0.0.0.0}" --port "${TUNEWELL_PORT:-8700}"
