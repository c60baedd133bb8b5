"""A client of any OpenAI-compatible chat API: OpenAI, OpenRouter, Ollama and others.

What goes wrong is told in words for the person. The key goes into one header, and nowhere else: not into an error, not
into a log, not to another address (redirects are not followed).

Minutes and Read later have the same copy of this file: a package is complete in itself.
"""

import http.client
import json
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request

# A large model may think for minutes before its first word.
READ_SECONDS_MAX = 180
ANSWER_BYTES_MAX = 2 * 1024 * 1024
TRIES_MAX = 3
# Longer waits are told, not waited for.
WAIT_SECONDS_MAX = 20
# From strict to loose: not every service or model takes a schema.
FORMATS = ("json_schema", "json_object", "none")


class ModelError(Exception):
    """What the person should know: what happened and what to do. It never holds the key."""

    def __init__(self, kind, text, wait=0):
        super().__init__(text)
        self.kind = kind
        self.wait = wait


class Stopped(Exception):
    """The person does not want the answer any more."""


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect unfollowed: the key must not go to another address."""

    def redirect_request(self, *_):
        return None


class Model:
    """A model of one service. Proxies and certificates are found as usual: HTTPS_PROXY, SSL_CERT_FILE."""

    def __init__(self, base_url, name, key):
        self.base_url = base_url.strip().rstrip("/")
        self.name = name.strip()
        self._key = key.strip()
        self._opener = urllib.request.build_opener(NoRedirects)
        self._formats = {}

    def __repr__(self):
        return f"Model({self.name!r})"

    @property
    def host(self):
        """The service, as the person knows it."""
        try:
            return urllib.parse.urlsplit(self.base_url).hostname or self.base_url
        except ValueError:
            return self.base_url

    @property
    def has_key(self):
        """Whether there is a key; a service on this machine needs none."""
        return bool(self._key)

    def names(self):
        """Returns the names of the service's models."""
        with self._open("/models") as response:
            body = self._read(response)
        try:
            return sorted({str(each["id"]) for each in body["data"]})
        except (KeyError, TypeError):
            raise self._not_an_api() from None

    def ask(self, messages, schema=None, model="", on_text=None, on_wait=None, stopped=None):
        """Returns the model's whole answer.

        `schema` is asked for as strictly as the service takes it; the answer may still be anything. `on_text` gets all of
        the answer so far, each time that more of it arrives. `on_wait` gets the seconds that the service wants us to wait.
        """
        call = {"model": model or self.name, "messages": messages, "stream": True}
        level = self._formats.get(call["model"], 0) if schema else len(FORMATS) - 1
        tries = 1
        while True:
            if stopped and stopped():
                raise Stopped
            try:
                with self._open("/chat/completions", {**call, **asked_format(level, schema)}) as response:
                    text = self._answer(response, on_text, stopped)
                if schema:
                    self._formats[call["model"]] = level
                return text
            except ModelError as error:
                if error.kind == "request" and level + 1 < len(FORMATS):
                    level += 1
                elif error.kind in ("limit", "service") and tries < TRIES_MAX and error.wait <= WAIT_SECONDS_MAX:
                    tries += 1
                    self._wait(error.wait or tries, on_wait, stopped)
                else:
                    raise

    def _wait(self, seconds, on_wait, stopped):
        if on_wait:
            on_wait(seconds)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if stopped and stopped():
                raise Stopped
            time.sleep(0.1)

    def _open(self, path, call=None):
        if not re.match(r"https?://[^\s/@]+(/\S*)?$", self.base_url):
            raise ModelError("address", f"“{self.base_url}” is no address of a service: check OPENAI_BASE_URL.")
        headers = {"Accept": "text/event-stream, application/json", "User-Agent": "mira-app/1"}
        if self._key:
            # The library would quote a header that it does not accept, with the key in it.
            if not re.fullmatch(r"[\x21-\x7e]+", self._key):
                raise ModelError("key", "The key holds characters that no key has. Check OPENAI_API_KEY.")
            headers["Authorization"] = f"Bearer {self._key}"
        data = None
        if call is not None:
            data = json.dumps(call).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.base_url + path, data, headers)
        try:
            return self._opener.open(request, timeout=READ_SECONDS_MAX)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error, (call or {}).get("model", "")) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None

    def _read(self, response):
        try:
            return json.loads(response.read(ANSWER_BYTES_MAX))
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        except ValueError:
            raise self._not_an_api() from None

    def _answer(self, response, on_text, stopped):
        """Reads the answer as it comes: server-sent events, or one document where the service does not stream."""
        if response.headers.get_content_type() != "text/event-stream":
            return self._finished(self._read(response), "message")
        text, seen, ended = "", 0, False
        try:
            while line := response.readline(ANSWER_BYTES_MAX):
                if stopped and stopped():
                    raise Stopped
                seen += len(line)
                if seen > 20 * ANSWER_BYTES_MAX or len(text) > ANSWER_BYTES_MAX:
                    raise ModelError("answer", f"{self.host} did not stop answering. Try another model.")
                if not line.startswith(b"data:"):
                    continue
                if (data := line[5:].strip()) == b"[DONE]":
                    ended = True
                    break
                event = json.loads(data)
                if more := self._finished(event, "delta"):
                    text += more
                    if on_text:
                        on_text(text)
                ended = ended or any(choice.get("finish_reason") for choice in event.get("choices") or [])
        except (OSError, http.client.HTTPException):
            ended = False
        except (ValueError, AttributeError):
            raise self._not_an_api() from None
        if not ended:
            raise ModelError("broken", f"The connection to {self.host} broke in the middle of the answer. Try again.")
        return text

    def _finished(self, body, part):
        """Returns the text in one document or event."""
        try:
            if body.get("error"):
                error = body["error"] if isinstance(body["error"], dict) else {"message": str(body["error"])}
                raise self._error(status_of(error), error, "", 0)
            choice = (body.get("choices") or [{}])[0]
            message = choice.get(part) or {}
            if choice.get("finish_reason") == "length":
                raise ModelError("answer", "The model's answer was cut off: it got too long. Try a shorter text.")
            if message.get("refusal") or choice.get("finish_reason") == "content_filter":
                raise ModelError("answer", "The model declined to work on this text.")
            return message.get("content") or ""
        except (AttributeError, IndexError, TypeError):
            raise self._not_an_api() from None

    def _refusal(self, response, model):
        """Makes an error of an answer that is not 200."""
        try:
            body = json.loads(response.read(65536))
            error = body.get("error") or body
            error = error if isinstance(error, dict) else {"message": str(error)}
        except (ValueError, AttributeError, OSError, http.client.HTTPException):
            error = {}
        wait = response.headers.get("Retry-After", "")
        return self._error(response.code, error, model, int(wait) if re.fullmatch(r"[0-9]{1,6}", wait) else 0)

    def _error(self, status, error, model, wait):
        host, code = self.host, str(error.get("code") or error.get("type") or "")
        said = self._said(error.get("message"))
        if status == 401 and not self._key:
            return ModelError("key", f"{host} wants a key, and there is none. Set OPENAI_API_KEY and start again.")
        if status == 401:
            text = "Check OPENAI_API_KEY: it may be mistyped, withdrawn, or of another service."
            return ModelError("key", f"{host} does not accept the key. {text}")
        if status == 402 or code == "insufficient_quota":
            return ModelError("paid", f"The account at {host} has no credit left. Add some there, then try again.")
        if status == 403:
            return ModelError("key", f"{host} does not let this key do that.{said}")
        if status == 404 and (error or model) and (code == "model_not_found" or "model" in said.lower()):
            return ModelError("model", f"{host} has no model “{model}”. Choose another.")
        if status == 404:
            return self._not_an_api()
        if status == 413 or "context_length" in code or re.search(r"context (length|window)|too long", said.lower()):
            return ModelError("length", "The text is too long for this model. Try a model that takes more, or a part of it.")
        if status == 429:
            when = f"in {wait} seconds" if wait else "in a minute"
            return ModelError("limit", f"{host} gets too many requests from this account. Try again {when}.", wait)
        if status >= 500:
            return ModelError("service", f"{host} has trouble of its own ({status}). Try again in a while.", wait)
        if 300 <= status < 400:
            return ModelError("address", f"{host} has moved to another address: check OPENAI_BASE_URL.")
        return ModelError("request", f"{host} did not take the request ({status}).{said}")

    def _said(self, message):
        """Returns what the service said, short, on one line, and without the key."""
        text = " ".join(str(message or "").split())
        if self._key:
            text = text.replace(self._key, "[key]")
        return f" It says: {text[:300]}" if text else ""

    def _unreachable(self, error):
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):
            return ModelError("reach", f"There is no safe connection to {self.host}: its certificate is not accepted.")
        if isinstance(reason, TimeoutError):
            return ModelError("reach", f"{self.host} did not answer within {READ_SECONDS_MAX} seconds. Try again.")
        return ModelError("reach", f"{self.host} cannot be reached. Is the network up, the service running, and "
                                   f"OPENAI_BASE_URL right ({self.base_url})?")

    def _not_an_api(self):
        text = "Check OPENAI_BASE_URL: it often ends with /v1."
        return ModelError("address", f"What is at {self.base_url} does not answer as a model service does. {text}")


def asked_format(level, schema):
    """Returns the part of a request that asks for JSON."""
    if FORMATS[level] == "json_schema":
        wanted = {"name": "answer", "strict": True, "schema": schema}
        return {"response_format": {"type": "json_schema", "json_schema": wanted}}
    if FORMATS[level] == "json_object":
        return {"response_format": {"type": "json_object"}}
    return {}


def status_of(error):
    """Returns the status of an error that came within a stream."""
    code = error.get("code")
    return code if isinstance(code, int) and not isinstance(code, bool) else 500
