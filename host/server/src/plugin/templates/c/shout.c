#include "shout.h"

#include <ctype.h>
#include <stddef.h>

bool shout(text_t input, text_t *output) {
  while (input.len && isspace((unsigned char)input.bytes[0])) input.bytes++, input.len--;
  while (input.len && isspace((unsigned char)input.bytes[input.len - 1])) input.len--;
  for (size_t i = 0; i < input.len; i++) input.bytes[i] = (char)toupper((unsigned char)input.bytes[i]);
  *output = input;
  return input.len > 0;
}
