"""aiohttp, which looks at proxy variables only where it is asked to: `TRUST_ENV` says whether."""

import asyncio
import os

import aiohttp

from steps import walk

TRUST_ENV = "TRUST_ENV" in os.environ


async def main_session():
    return aiohttp.ClientSession(trust_env=TRUST_ENV)


loop = asyncio.new_event_loop()
session = loop.run_until_complete(main_session())


def get(url, headers):
    async def answer():
        async with session.get(url, headers=headers) as answer:
            return answer.status, await answer.text()

    return loop.run_until_complete(answer())


def follow(url):
    answer = loop.run_until_complete(session.get(url))
    while line := loop.run_until_complete(answer.content.readline()):
        yield line


walk(get, follow)
loop.run_until_complete(session.close())
