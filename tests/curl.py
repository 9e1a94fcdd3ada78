#!/usr/bin/env python3
"""Stands in for curl where a machine has none: what the lines that `pointsman demo` prints want of it, -s, -N, -i and -d."""

import sys
import urllib.error
import urllib.request

flags, url, data = "", "", None
words = iter(sys.argv[1:])
for word in words:
    if word == "-d":
        data = next(words).encode()
    elif word.startswith("-"):
        flags += word
    else:
        url = word
try:
    answer = urllib.request.urlopen(urllib.request.Request(url, data))
except urllib.error.HTTPError as error:
    answer = error
if "i" in flags:
    print(f"HTTP/1.1 {answer.status}\n{answer.headers}", end="")
print(answer.read().decode(), end="")
