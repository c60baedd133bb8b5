"""urllib of the standard library."""

import urllib.error
import urllib.request

from steps import walk


def get(url, headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def follow(url):
    with urllib.request.urlopen(url) as answer:
        yield from answer


walk(get, follow)
