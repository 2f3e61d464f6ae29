"""What the world exports as `armilla:plugin/tools`."""

import json

from componentize_py_types import Err
from shout import INPUT_SCHEMA, OUTPUT_SCHEMA, shout
from wit_world import exports
from wit_world.exports.tools import Description, Tool
from wit_world.imports import log
from wit_world.imports.types import CallContext, Denial, ErrorCode, Needs, PluginInfo, ToolError

SHOUT = Tool(
    name="__NAME__.shout",
    title="Shout",
    description="Turns text into capitals. Use it where something must not be overlooked.",
    input_schema=json.dumps(INPUT_SCHEMA),
    output_schema=json.dumps(OUTPUT_SCHEMA),
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)

# By name, each tool with the function that does its work: from the input's value to the output's.
OFFERED = {SHOUT.name: (SHOUT, shout)}


class Tools(exports.Tools):
    def describe(self) -> Description:
        return Description(
            plugin=PluginInfo(name="__NAME__", version="0.1.0", description="Says it louder."),
            tools=[tool for tool, _ in OFFERED.values()],
            needs=Needs(http_hosts=[], secrets=[], config_keys=[], kv=[], clock=False, random=False),
        )

    def call(self, tool: str, input: str, context: CallContext) -> str:
        if tool not in OFFERED:
            raise failure(ErrorCode.INVALID_INPUT, f"There is no tool `{tool}`")
        _, run = OFFERED[tool]
        try:
            output = run(json.loads(input))
        except Err as error:
            raise Err(tool_error(error.value)) from error
        except ValueError as error:
            raise failure(ErrorCode.INVALID_INPUT, str(error)) from error
        except Exception as error:
            # Anything but an `Err` would end the call as a trap, without its message.
            raise failure(ErrorCode.FAILED, f"{type(error).__name__}: {error}") from error
        log.write(log.Level.DEBUG, f"{tool} of step {context.step}, attempt {context.attempt}")
        return json.dumps(output, ensure_ascii=False)


def failure(code: ErrorCode, message: str) -> Err[ToolError]:
    return Err(ToolError(code, message, retryable=False, retry_after_milliseconds=None, details=None))


def tool_error(value: object) -> ToolError:
    """What a tool raised itself, or one of the host's interfaces: a denial, or a case of `http-error` or `kv-error`."""
    if isinstance(value, ToolError):
        return value
    inner = getattr(value, "value", value)
    if isinstance(inner, Denial):
        return failure(ErrorCode.DENIED, f"{inner.capability}: {inner.message}").value
    case = type(value).__name__.rpartition("_")[2]
    code = ErrorCode.UNAVAILABLE if case in ("Timeout", "Unavailable") else ErrorCode.FAILED
    return failure(code, f"{case}: {inner}").value
