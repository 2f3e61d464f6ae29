#pragma once
#include "text.h"

/* Turns the letters A to Z of `input` into capitals. False where there is nothing but white space. */
bool shout(text_t input, text_t *output);
