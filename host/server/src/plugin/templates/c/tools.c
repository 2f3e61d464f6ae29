/* What the world exports as `armilla:plugin/tools`. */
#include "plugin.h"

#include <stdlib.h>
#include <string.h>

#include "shout.h"
#include "text.h"

typedef exports_armilla_plugin_tools_tool_t tool_t;

static const char NAME[] = "__NAME__.shout";

/* JSON Schema 2020-12. The host checks both. */
static const char INPUT_SCHEMA[] =
    "{\"type\":\"object\",\"required\":[\"text\"],\"additionalProperties\":false,"
    "\"properties\":{\"text\":{\"type\":\"string\",\"minLength\":1,\"description\":\"What to say louder.\"}}}";
static const char OUTPUT_SCHEMA[] =
    "{\"type\":\"object\",\"required\":[\"text\"],\"additionalProperties\":false,"
    "\"properties\":{\"text\":{\"type\":\"string\"}}}";

/* What is handed to the host has to be on the heap, because the generated code frees it. */
static plugin_string_t handed(text_t text) { return (plugin_string_t){(uint8_t *)text.bytes, text.len}; }
static plugin_string_t words(const char *string) { return handed(text_of(string)); }
static plugin_option_bool_t is(bool holds) { return (plugin_option_bool_t){true, holds}; }

void exports_armilla_plugin_tools_describe(exports_armilla_plugin_tools_description_t *about) {
  memset(about, 0, sizeof *about);
  about->plugin.name = words("__NAME__");
  about->plugin.version = words("0.1.0");
  about->plugin.description = words("Says it louder.");

  tool_t *tool = calloc(1, sizeof *tool);
  if (!tool) abort();
  tool->name = words(NAME);
  tool->title = words("Shout");
  tool->description = words("Turns the letters A to Z into capitals. Use it where something must not be overlooked.");
  tool->input_schema = words(INPUT_SCHEMA);
  tool->output_schema = (plugin_option_string_t){true, words(OUTPUT_SCHEMA)};
  tool->read_only = is(true);
  tool->destructive = is(false);
  tool->idempotent = is(true);
  tool->open_world = is(false);
  about->tools.ptr = tool;
  about->tools.len = 1;
}

/* An error is a value: a trap would end the call without a message. */
static bool refuse(exports_armilla_plugin_tools_tool_error_t *error, const char *message) {
  memset(error, 0, sizeof *error);
  error->code = ARMILLA_PLUGIN_TYPES_ERROR_CODE_INVALID_INPUT;
  error->message = words(message);
  return false;
}

/* `printf` and its kin would work, but bring along 35 KB of streams and files that nobody needs. */
static void note(exports_armilla_plugin_tools_call_context_t *context) {
  plugin_string_t line = handed(json_of_text("step", (text_t){(char *)context->step.ptr, context->step.len}));
  armilla_plugin_log_write(ARMILLA_PLUGIN_LOG_LEVEL_DEBUG, &line);
}

bool exports_armilla_plugin_tools_call(plugin_string_t *tool, plugin_string_t *input,
                                       exports_armilla_plugin_tools_call_context_t *context, plugin_string_t *output,
                                       exports_armilla_plugin_tools_tool_error_t *error) {
  if (tool->len != strlen(NAME) || memcmp(tool->ptr, NAME, tool->len)) return refuse(error, "There is no such tool");
  text_t json = {(char *)input->ptr, input->len}, text, louder;
  if (!json_get_text(json, "text", &text)) return refuse(error, "`text` is not there");
  if (!shout(text, &louder)) return refuse(error, "`text` has nothing but white space");
  note(context);
  *output = handed(json_of_text("text", louder));
  return true;
}
