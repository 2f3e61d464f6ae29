#!/bin/sh
# Builds out/__NAME__.wasm. WORLD=tool-plugin gives the plugin the interfaces for HTTP, secrets, configuration and keys.
set -eu
cd "$(dirname "$0")"

linker=$(command -v wasm-component-ld) || {
  echo "wasm-component-ld is not on the PATH: README.md says where it comes from" >&2
  exit 1
}

mkdir -p out bindings
wit-bindgen c wit --world "${WORLD:-pure-tool-plugin}" --rename-world plugin --out-dir bindings
# The linker makes a component of the module, with what the type's object file says about the world.
"${CC:-clang}" --target=wasm32-wasi -mexec-model=reactor -std=c11 -Os -Wall -Wextra -Ibindings \
  -fuse-ld="$linker" -Wl,--strip-all -o out/__NAME__.wasm \
  tools.c shout.c text.c bindings/plugin.c bindings/plugin_component_type.o
