"""What `a2a_agent.py` needs of an SDK that speaks version 0.3."""

from a2a.server.agent_execution import AgentExecutor
from a2a.server.apps import A2ARESTFastAPIApplication, A2AStarletteApplication
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentSkill, DataPart, FilePart, FileWithUri, Part, TextPart
from a2a.utils import new_agent_text_message, new_task

__all__ = ["AgentExecutor", "TaskUpdater", "app", "data", "file", "message", "task", "text"]


def text(said):
    return Part(root=TextPart(text=said))


def data(value):
    return Part(root=DataPart(data=value))


def file(url, name, media_type):
    return Part(root=FilePart(file=FileWithUri(uri=url, name=name, mime_type=media_type)))


def message(said, context=None):
    return new_agent_text_message(said, context and context.context_id, context and context.task_id)


def task(context):
    return new_task(context.message)


def app(agent, url, binding):
    card = AgentCard(
        name="peer",
        description="A peer for tests",
        version="1",
        url=url + "/a2a",
        preferred_transport={"jsonrpc": "JSONRPC", "rest": "HTTP+JSON"}[binding],
        protocol_version="0.3.0",
        capabilities=AgentCapabilities(streaming=False),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="all", name="all", description="What the tests want", tags=["test"])],
    )
    handler = DefaultRequestHandler(agent, InMemoryTaskStore())
    if binding == "jsonrpc":
        return A2AStarletteApplication(card, handler).build(rpc_url="/a2a")
    rest = A2ARESTFastAPIApplication(card, handler)
    application = rest.build(rpc_url="/a2a")
    application.add_api_route("/.well-known/agent-card.json", lambda: card.model_dump(mode="json", by_alias=True, exclude_none=True))
    return application
