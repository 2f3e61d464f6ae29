import log from "armilla:plugin/log@0.1.0";
import * as shout from "./shout.js";

/** By name, each tool with the function that does its work: from the input's value to the output's. */
const offered = {
  "__NAME__.shout": {
    run: shout.shout,
    about: {
      title: "Shout",
      description: "Turns text into capitals. Use it where something must not be overlooked.",
      inputSchema: JSON.stringify(shout.inputSchema),
      outputSchema: JSON.stringify(shout.outputSchema),
      readOnly: true,
      destructive: false,
      idempotent: true,
      openWorld: false,
    },
  },
};

/** What the world exports as `armilla:plugin/tools`. */
export const tools = {
  describe() {
    return {
      plugin: { name: "__NAME__", version: "0.1.0", description: "Says it louder." },
      tools: Object.entries(offered).map(([name, { about }]) => ({ name, ...about })),
      needs: { httpHosts: [], secrets: [], configKeys: [], kv: [], clock: false, random: false },
    };
  },

  call(tool, input, context) {
    if (!Object.hasOwn(offered, tool)) {
      throw toolError({ code: "invalid-input", message: `There is no tool \`${tool}\`` });
    }
    try {
      const output = offered[tool].run(JSON.parse(input), context);
      log.write("debug", `${tool} of step ${context.step}, attempt ${context.attempt}`);
      return JSON.stringify(output);
    } catch (error) {
      // Anything but a tool error would end the call as a trap, without its message.
      throw toolError(error);
    }
  },
};

/** Whatever was thrown, as the record `tool-error` of the contract. */
function toolError(thrown) {
  // The host's interfaces throw an `Error` with the contract's own error as `payload`.
  const error = thrown?.payload === undefined ? Object(thrown) : hostError(thrown.payload);
  const { code = "failed", message = String(thrown), retryable = false } = error;
  const { retryAfterMilliseconds = null, details = null } = error;
  return { code, message, retryable, retryAfterMilliseconds, details };
}

/** A denial, or a case of the variants `http-error` and `kv-error`. */
function hostError({ capability, message, tag, val }) {
  if (capability !== undefined) return { code: "denied", message: `${capability}: ${message}` };
  if (tag === "denied") return hostError(val);
  return { code: tag === "timeout" || tag === "unavailable" ? "unavailable" : "failed", message: `${tag}: ${val}` };
}
