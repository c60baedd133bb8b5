"""httpx."""

import httpx

from steps import walk


def get(url, headers):
    answer = httpx.get(url, headers=headers)
    return answer.status_code, answer.text


def follow(url):
    with httpx.stream("GET", url, timeout=None) as answer:
        yield from answer.iter_lines()


walk(get, follow)
