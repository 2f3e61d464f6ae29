"""What `a2a_agent.py` needs of an SDK that speaks version 1.0."""

from a2a.helpers import new_data_part as data
from a2a.helpers import new_task_from_user_message, new_text_message
from a2a.helpers import new_text_part as text
from a2a.helpers import new_url_part
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types.a2a_pb2 import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from starlette.applications import Starlette

__all__ = ["AgentExecutor", "TaskUpdater", "app", "data", "file", "message", "task", "text"]


def file(url, name, media_type):
    return new_url_part(url, media_type, name)


def message(said, context=None):
    return new_text_message(said, task_id=context and context.task_id, context_id=context and context.context_id)


def task(context):
    task = new_task_from_user_message(context.message)
    task.id, task.context_id = context.task_id, context.context_id
    return task


def app(agent, url, binding):
    binding = {"jsonrpc": "JSONRPC", "rest": "HTTP+JSON"}[binding]
    card = AgentCard(
        name="peer",
        description="A peer for tests",
        version="1",
        supported_interfaces=[
            AgentInterface(url="grpc://127.0.0.1:1", protocol_binding="GRPC", protocol_version="1.0"),
            AgentInterface(url=url + "/a2a", protocol_binding=binding, protocol_version="1.0"),
        ],
        capabilities=AgentCapabilities(streaming=False),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="all", name="all", description="What the tests want", tags=["test"])],
    )
    handler = DefaultRequestHandler(agent, InMemoryTaskStore(), card)
    routes = create_agent_card_routes(card)
    if binding == "JSONRPC":
        routes += create_jsonrpc_routes(handler, "/a2a")
    else:
        routes += create_rest_routes(handler, path_prefix="/a2a")
    return Starlette(routes=routes)
