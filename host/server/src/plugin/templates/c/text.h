/* Text that is not ended by a zero byte, and what a tool needs to get it out of JSON and back into it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

typedef struct {
  char *bytes;
  size_t len;
} text_t;

/* A copy of a C string, on the heap. */
text_t text_of(const char *string);

/* The string under `name` of the JSON object `json`. False where there is none, and where `json` is no object. It trusts
   that `json` is JSON, as what the host hands over always is. */
bool json_get_text(text_t json, const char *name, text_t *value);

/* The JSON object that has this one string in it. */
text_t json_of_text(const char *name, text_t value);
