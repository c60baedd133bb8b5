"""Puts a value in the place of a placeholder in `Authorization`, as the gate does: two options say which."""

from mitmproxy import ctx


class Swap:
    def load(self, loader):
        loader.add_option("placeholder", str, "", "What stands for the value")
        loader.add_option("value", str, "", "The value")

    def requestheaders(self, flow):
        header = flow.request.headers.get("authorization", "")
        if ctx.options.placeholder in header:
            full = header.replace(ctx.options.placeholder, ctx.options.value)
            flow.request.headers["authorization"] = full


addons = [Swap()]
