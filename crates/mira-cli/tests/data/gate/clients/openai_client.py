"""The OpenAI SDK: an answer, and one that comes in pieces."""

import openai

from steps import ALLOWED, BROKERED, KEY, REFUSED, said

QUESTION = {"model": "any", "messages": [{"role": "user", "content": "Hello"}]}


def client(base):
    return openai.OpenAI(api_key=KEY, base_url=f"{base}/v1", max_retries=0)


said("key", KEY)
said("allowed", client(ALLOWED).chat.completions.with_raw_response.create(**QUESTION).status_code)
answer = client(BROKERED).chat.completions.with_raw_response.create(**QUESTION)
said("brokered", answer.status_code)
for piece in client(BROKERED).chat.completions.create(stream=True, **QUESTION):
    event = piece.choices[0].delta.content
    said("event", event)
    client(ALLOWED).get(f"{ALLOWED}/echo?ack={event}", cast_to=object)
try:
    client(REFUSED).chat.completions.create(**QUESTION)
except openai.OpenAIError as error:
    said("refused", error, error.body, repr(error.__cause__))
