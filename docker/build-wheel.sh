#!/bin/sh
# Builds the wheel of the checkout in SOURCE into TARGET.  build-wheel.sh SOURCE TARGET
set -eu
source=$1 target=$2
python3 -m venv "$target/.build"
"$target/.build/bin/pip" install --quiet --disable-pip-version-check build
"$target/.build/bin/python" -m build --wheel --outdir "$target" "$source"
rm -rf "$target/.build"
