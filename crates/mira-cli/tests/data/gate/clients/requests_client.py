"""requests, which has its own certificates and takes others by a variable."""

import requests

from steps import walk


def get(url, headers):
    answer = requests.get(url, headers=headers)
    return answer.status_code, answer.text


def follow(url):
    with requests.get(url, stream=True) as answer:
        yield from answer.iter_lines(chunk_size=1)


walk(get, follow)
