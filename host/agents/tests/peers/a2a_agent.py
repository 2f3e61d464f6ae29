"""A small agent by the official SDK, as a peer for tests: `a2a_agent.py [1.0|0.3] [jsonrpc|rest]`.

Prints its URL once it listens, and ends when its standard input does, so that none outlives the test that began it.
The message says what to do, by its first word.
"""

import asyncio
import logging
import os
import socket
import sys
import threading

import uvicorn

VERSION, BINDING = sys.argv[1:3]
# What is refused here is refused on purpose.
logging.disable(logging.WARNING)

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
URL = "http://127.0.0.1:%d" % listener.getsockname()[1]

if VERSION == "1.0":
    import a2a_1_0 as sdk
else:
    import a2a_0_3 as sdk


class Agent(sdk.AgentExecutor):
    def __init__(self):
        self.may_end = asyncio.Event()

    async def execute(self, context, queue):
        said = context.get_user_input()
        if said.startswith("hello"):
            await queue.enqueue_event(sdk.message(f"Hello to you, who sent {context.message.message_id}"))
            return
        if said.startswith("end"):
            self.may_end.set()
            await queue.enqueue_event(sdk.message("What is worked on may end"))
            return
        first = not context.current_task
        if first:
            await queue.enqueue_event(sdk.task(context))
        updater = sdk.TaskUpdater(queue, context.task_id, context.context_id)
        await updater.start_work()
        if not first:
            await updater.add_artifact([sdk.text(f"A ticket to {said}")], name="ticket")
            await updater.complete()
        elif said.startswith("work"):
            await self.may_end.wait()
            await updater.add_artifact([sdk.text("A long "), sdk.text("report")], name="report")
            await updater.add_artifact([sdk.data({"pages": 12})], name="figures")
            await updater.complete()
        elif said.startswith("data"):
            await updater.add_artifact([sdk.data({"approved": True, "by": ["a", "b"]})], name="review")
            await updater.complete()
        elif said.startswith("file"):
            await updater.add_artifact([sdk.file("https://files.example/a.png", "a.png", "image/png")], name="picture")
            await updater.complete()
        elif said.startswith("ask"):
            await updater.requires_input(sdk.message("Where to?", context))
        elif said.startswith("login"):
            await updater.requires_auth(sdk.message("Sign in first", context))
        elif said.startswith("refuse"):
            await updater.reject(sdk.message("Not my business", context))
        elif said.startswith("hang"):
            await asyncio.sleep(3600)
        else:
            await updater.failed(sdk.message("Out of paper", context))

    async def cancel(self, context, queue):
        await sdk.TaskUpdater(queue, context.task_id, context.context_id).cancel()


def end_with_stdin():
    sys.stdin.read()
    os._exit(0)


async def main():
    server = uvicorn.Server(uvicorn.Config(sdk.app(Agent(), URL, BINDING), log_level="warning"))
    print(URL, flush=True)
    await server.serve(sockets=[listener])


threading.Thread(target=end_with_stdin, daemon=True).start()
asyncio.run(main())
