#!/bin/sh
# Exit status 0 when the service is ready to serve; asked directly, also where the environment names a proxy.
exec python3 -c 'import sys, urllib.request as u; u.build_opener(u.ProxyHandler({})).open(sys.argv[1] + "/readyz", timeout=3)' \
  "http://127.0.0.1:${TUNEWELL_PORT:-8700}"
