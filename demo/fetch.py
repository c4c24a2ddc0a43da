"""As much of curl as the demo needs, where curl is not installed: ``fetch.py -s -H 'NAME: VALUE' URL``."""

import sys
import urllib.error
import urllib.request

_, _, _, header, url = sys.argv
name, _, value = header.partition(": ")
try:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
        urllib.request.Request(url, headers={name: value}), timeout=30
    ) as answer:
        sys.stdout.write(answer.read().decode())
except urllib.error.HTTPError as refused:
    sys.stdout.write(refused.read().decode())
