#!/bin/sh
# Exit status 0 when the service is ready to serve.
exec python3 -c 'import sys, urllib.request as u; sys.exit(u.urlopen(sys.argv[1] + "/readyz", timeout=3).status != 200)' \
  "http://127.0.0.1:${TUNEWELL_PORT:-8700}"
