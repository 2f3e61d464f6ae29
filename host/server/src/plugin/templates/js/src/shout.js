/** Input and output of the tool: JSON Schema 2020-12. The host checks both. */
export const inputSchema = {
  type: "object",
  properties: { text: { type: "string", minLength: 1, description: "What to say louder." } },
  required: ["text"],
  additionalProperties: false,
};

export const outputSchema = {
  type: "object",
  properties: { text: { type: "string" } },
  required: ["text"],
  additionalProperties: false,
};

/** Turns the text into capitals. */
export function shout({ text }) {
  const letters = text.trim();
  if (letters === "") {
    throw { code: "invalid-input", message: "`text` has nothing but white space", retryable: false };
  }
  return { text: letters.toUpperCase() };
}
