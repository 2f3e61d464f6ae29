use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// In bytes: a schema is read by people and models, and is checked against every call.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;

/// JSON Schema 2020-12 of what can be read into `T`.
pub(crate) fn of_input<T: JsonSchema>() -> Value {
    let schema = SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<T>();
    let mut schema = Value::from(schema);
    // An enum of objects says so for each of its variants only; a tool's input has to say it at the top.
    if let Some(fields) = schema.as_object_mut()
        && ["oneOf", "anyOf"].iter().any(|choice| fields.contains_key(*choice))
    {
        fields.entry("type").or_insert(json!("object"));
    }
    schema
}

/// JSON Schema 2020-12 of what `T` is written as.
pub(crate) fn of_output<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>().into()
}

/// What makes `schema` unfit for the contract, if anything.
pub(crate) fn fault(schema: &Value) -> Option<String> {
    let bytes = schema.to_string().len();
    (bytes > SCHEMA_BYTES_MAX).then(|| format!("has {bytes} bytes, more than {SCHEMA_BYTES_MAX}"))
}
