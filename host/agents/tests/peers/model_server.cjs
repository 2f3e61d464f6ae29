// Models that answer by what the message says, in the shapes of OpenAI and Anthropic: `model_server.cjs`, with AIMOCK as the folder of
// @copilotkit/aimock. Prints its URL once it listens, and ends when its standard input does.

const { createRequire } = require("node:module");
const { LLMock } = createRequire(`${process.env.AIMOCK}/`)("@copilotkit/aimock");

const mock = new LLMock({ port: 0, logLevel: "silent" });
mock.onMessage("tides", { content: "Tides come twice a day." });
mock.onMessage("review", { content: '```json\n{"approved": true}\n```' });
mock.onMessage("limited", { error: { message: "Slow down", type: "rate_limit_error" }, status: 429, retryAfter: 7 });
mock.onMessage("broken", { error: { message: "Out of paper", type: "server_error" }, status: 500 });
mock.on({ userMessage: "malformed" }, { content: "-" }, { chaos: { malformedRate: 1 } });
mock.on({ userMessage: "gone" }, { content: "-" }, { chaos: { disconnectRate: 1 } });

mock.start().then(() => console.log(mock.url));
process.stdin.on("end", () => process.exit(0)).resume();
