#!/bin/sh
# Installs the wheel found in FOLDER with EXTRA into a virtual environment.  install.sh FOLDER EXTRA VENV [CONSTRAINTS]
set -eu
folder=$1 extra=$2 venv=$3 constraints=${4:-}
wheel=$(ls "$folder"/tunewell-*.whl)
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir \
  ${constraints:+--constraint "$constraints"} "$wheel${extra:+[$extra]}"
