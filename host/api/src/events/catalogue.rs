//! Which events there are, and what each tells.

use std::str::FromStr;

use armilla_domain::event::EventType;
use axum::Json;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, PathItem, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::{ContentBuilder, OpenApi, RefOr, Required, ResponseBuilder, Schema};

use crate::problem::{Code, Problem};
use crate::request::PathText;

/// A type of events.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventTypeBody {
    /// Its name. `run_succeeded` is read as `run.succeeded`.
    #[schema(example = "run.succeeded")]
    r#type: &'static str,
    /// When such an event is told.
    description: &'static str,
    /// The JSON Schema (2020-12) of its `data`. Fields are only ever added.
    #[schema(value_type = Object)]
    schema: Value,
}

/// Every type of events.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventTypesResponse {
    /// In the order of the documentation.
    event_types: Vec<EventTypeBody>,
}

/// A type of events.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventTypeResponse {
    /// The type.
    event_type: EventTypeBody,
}

impl From<EventType> for EventTypeBody {
    fn from(event: EventType) -> Self {
        Self { r#type: event.as_str(), description: event.about(), schema: event.schema() }
    }
}

/// A type as a path names it.
struct Named(EventType);

impl FromStr for Named {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        EventType::parse(name).map(Self).ok_or(())
    }
}

/// List the types of events
///
/// With the JSON Schema of what each tells.
#[utoipa::path(get, path = "/event-types", operation_id = "listEventTypes", tag = "events",
    responses((status = 200, description = "All of them.", body = EventTypesResponse)))]
pub(crate) async fn list_event_types() -> Json<EventTypesResponse> {
    Json(EventTypesResponse { event_types: EventType::ALL.iter().copied().map(EventTypeBody::from).collect() })
}

/// Get a type of events
#[utoipa::path(get, path = "/event-types/{type}", operation_id = "getEventType", tag = "events",
    params(("type" = String, Path, description = "Its name, in either spelling.", example = "run.succeeded")),
    responses((status = 200, description = "The type.", body = EventTypeResponse)))]
pub(crate) async fn get_event_type(path: PathText) -> Result<Json<EventTypeResponse>, Problem> {
    let Named(event) = path.id(Code::EventTypeNotFound)?;
    Ok(Json(EventTypeResponse { event_type: event.into() }))
}

/// Adds what is sent to webhooks: one request for each type of events.
pub(crate) fn describe(document: &mut OpenApi) {
    let mut paths = PathsBuilder::new();
    for event in EventType::ALL.iter().copied() {
        let response = ResponseBuilder::new().description(
            "Any 2xx: it has arrived. 410 disables the webhook. Whatever else is answered, it is sent again later.",
        );
        let operation = OperationBuilder::new()
            .operation_id(Some(format!("on {}", event.as_str())))
            .summary(Some(event.as_str()))
            .description(Some(event.about()))
            .request_body(Some(
                RequestBodyBuilder::new()
                    .content("application/json", ContentBuilder::new().schema(schema_of(event)).build())
                    .required(Some(Required::True))
                    .build(),
            ))
            .response("2XX", response.build());
        paths = paths.path(event.as_str(), PathItem::new(HttpMethod::Post, operation.build()));
    }
    document.webhooks = Some(paths.build());
}

/// The schema of what is sent.
fn schema_of(event: EventType) -> Option<RefOr<Schema>> {
    let mut data = event.schema();
    if let Some(schema) = data.as_object_mut() {
        // The document says for all of it which draft its schemas are of.
        schema.remove("$schema");
        if let Some(definitions) = schema.remove("$defs") {
            inline(&mut data, &definitions, 0);
        }
    }
    let schema = json!({
        "type": "object",
        "required": ["type", "event", "timestamp", "data"],
        "properties": {
            "type": { "type": "string", "enum": [event.as_str()] },
            "event": { "type": "string", "enum": [event.as_str()], "description": "The same." },
            "timestamp": { "type": "string", "format": "date-time", "description": "When it happened." },
            "data": data,
        },
    });
    serde_json::from_value(schema).ok().map(RefOr::T)
}

/// Puts what is defined apart where it is referred to, since references of the document begin at its own root. Types of ours nest no deeper.
fn inline(schema: &mut Value, definitions: &Value, depth: u32) {
    const DEPTH_MAX: u32 = 16;
    match schema {
        Value::Object(fields) => {
            let name = fields.get("$ref").and_then(Value::as_str).and_then(|place| place.strip_prefix("#/$defs/"));
            if let Some(Value::Object(defined)) = name.and_then(|name| definitions.get(name)).cloned() {
                fields.remove("$ref");
                for (key, value) in defined {
                    fields.entry(key).or_insert(value);
                }
            }
            if depth < DEPTH_MAX {
                fields.values_mut().for_each(|value| inline(value, definitions, depth + 1));
            }
        }
        Value::Array(values) if depth < DEPTH_MAX => {
            values.iter_mut().for_each(|value| inline(value, definitions, depth + 1));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_a_schema_without_references_in_the_document() {
        let mut document = OpenApi::default();
        describe(&mut document);
        let document = serde_json::to_value(&document).unwrap();
        for event in EventType::ALL {
            let request =
                &document["webhooks"][event.as_str()]["post"]["requestBody"]["content"]["application/json"]["schema"];
            assert!(request["properties"]["data"]["properties"].is_object(), "{event:?}: {request}");
            let text = request.to_string();
            assert!(!text.contains("$ref") && !text.contains("$defs"), "{event:?}: {text}");
        }
        let failed =
            &document["webhooks"]["run.failed"]["post"]["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(failed["properties"]["data"]["properties"]["error"]["properties"]["code"]["type"], "string");
    }
}
