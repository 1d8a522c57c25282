#!/bin/sh
# Makes the user that the service and the workers run as, and the folders it may write.  add-user.sh FOLDER...
set -eu
if ! id tunewell >/dev/null 2>&1; then
  useradd --system --create-home --uid 10001 tunewell
fi
for folder in "$@"; do
  mkdir -p "$folder"
  chown tunewell "$folder"
done
