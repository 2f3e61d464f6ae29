"""Speaks with the example agents by OpenAI's own client: `official_client.py URL`. Prints what it got, as JSON."""

import json
import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0, timeout=20)


def ask(*messages, **more):
    return client.chat.completions.create(model="example", messages=list(messages), **more)


completion = ask({"role": "system", "content": "You research."}, {"role": "user", "content": "Research tidal power"})
pieces = ask({"role": "system", "content": "You research."}, {"role": "user", "content": "Research tidal power"}, stream=True)
streamed = "".join(piece.choices[0].delta.content or "" for piece in pieces)

print(json.dumps({
    "id": completion.id,
    "object": completion.object,
    "model": completion.model,
    "text": completion.choices[0].message.content,
    "finish": completion.choices[0].finish_reason,
    "tokens": completion.usage.prompt_tokens + completion.usage.completion_tokens - completion.usage.total_tokens,
    "streamed": streamed,
}))
