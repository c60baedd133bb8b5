"""The official client for Python: starts the program in its arguments as a server, and uses what it has."""

import asyncio
import json
import os
import sys

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client


async def main():
    command, *args = sys.argv[1:]
    server = StdioServerParameters(command=command, args=args, env=dict(os.environ))
    async with Client(stdio_client(server)) as client:
        tools = (await client.list_tools()).tools
        print("tools", *(tool.name for tool in tools))
        for name, parameters in json.loads(os.environ["CALLS"]):
            result = await client.call_tool(name, parameters)
            print(name, result.content[0].text)


asyncio.run(main())
