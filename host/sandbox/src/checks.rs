//! What is checked of bytes that come from outside, as plain functions: tests and fuzzers drive them. None may ever panic.

use crate::call;
use crate::error::LoadFault;
use crate::load;
use crate::plugin::Tool;
use crate::schema::Schema;

/// What an upload goes through before anything of it is compiled. Gives what the component imports.
pub fn component(bytes: &[u8]) -> Result<Vec<String>, LoadFault> {
    load::outline_of(bytes).map(|outline| outline.imports)
}

/// What a tool's schema and its answer go through, the schema being the author's and the answer the guest's.
pub fn boundary(schema: &str, output: &str) -> Result<(), String> {
    let (input, schema) = (Schema::parse("true")?, Schema::parse(schema)?);
    let tool = Tool { name: "tool".to_owned(), input, output: Some(schema) };
    let read = call::read_output("The tool", &tool, output, crate::OUTPUT_BYTES_MAX);
    read.map(drop).map_err(|error| error.to_string())
}
