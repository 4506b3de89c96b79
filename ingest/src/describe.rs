//! The door as OpenAPI 3.1 has it, made from the profile and the catalogue of codes.

use schemas::{Profile, RejectCode, describe};
use serde_json::{Value, json};

/// The document of this release.
#[must_use]
pub fn openapi(profile: &Profile) -> Value {
    let user = json!({
        "name": "id",
        "in": "path",
        "required": true,
        "description": "The user, percent-encoded.",
        "schema": describe::user_id(),
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tidewater ingest",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "summary": "Changes come in, and are acknowledged once the log has them.",
            "description": "A request without an answer may have been kept. Repeated, it is a further change at its new place.",
        },
        "servers": [{"url": "/"}],
        "paths": {
            "/v1/changes": {"post": changes()},
            "/v1/users/{id}": {
                "parameters": [user],
                "put": on_user("upsertUser", "Replaces the whole profile of a user.", Some("application/json")),
                "patch": on_user(
                    "patchUser",
                    "Touches the fields that are named; null clears one (RFC 7396).",
                    Some("application/merge-patch+json"),
                ),
                "delete": on_user("deleteUser", "Removes the profile of a user.", None),
            },
        },
        "components": {
            "schemas": {
                "Change": describe::change(profile),
                "Fields": describe::profile_written(profile),
                "Receipt": receipt(),
                "Problem": problem(),
                "Results": results(),
            },
        },
    })
}

fn changes() -> Value {
    let one = json!({"$ref": "#/components/schemas/Change"});
    let several = |description: &str| content("application/json", description, "Results");
    json!({
        "operationId": "postChanges",
        "summary": "Brings changes: one, an array, or one a line.",
        "description": "Each is taken or refused for itself, in order. Lines are taken as they come.",
        "requestBody": {
            "required": true,
            "content": {
                "application/json": {"schema": {"oneOf": [one, {"type": "array", "items": one}]}},
                "application/x-ndjson": {"schema": {"type": "string", "description": "One change a line."}},
            },
        },
        "responses": {
            "202": {
                "description": "Every change is in the log, with its receipt.",
                "headers": {"Tidewater-Receipt": receipt_header()},
                "content": {"application/json": {"schema": {"oneOf": [
                    {"$ref": "#/components/schemas/Receipt"},
                    {"$ref": "#/components/schemas/Results"},
                ]}}},
            },
            "207": several("Some are in the log, and some are refused."),
            "422": {
                "description": "The change, or every one of them, is refused.",
                "content": {
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
                    "application/json": {"schema": {"$ref": "#/components/schemas/Results"}},
                },
            },
            "default": refusal(),
        },
    })
}

fn on_user(operation: &str, summary: &str, media: Option<&str>) -> Value {
    let body = media.map(|media| {
        json!({
            "required": true,
            "content": {media: {"schema": {"$ref": "#/components/schemas/Fields"}}},
        })
    });
    let mut described = json!({
        "operationId": operation,
        "summary": summary,
        "responses": {
            "202": {
                "description": "The change is in the log.",
                "headers": {"Tidewater-Receipt": receipt_header()},
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Receipt"}}},
            },
            "422": content("application/problem+json", "The change is refused.", "Problem"),
            "default": refusal(),
        },
    });
    if let (Value::Object(members), Some(body)) = (&mut described, body) {
        members.insert("requestBody".to_owned(), body);
    }
    described
}

fn content(media: &str, description: &str, schema: &str) -> Value {
    json!({
        "description": description,
        "content": {media: {"schema": {"$ref": format!("#/components/schemas/{schema}")}}},
    })
}

/// What any request may be answered with.
fn refusal() -> Value {
    content(
        "application/problem+json",
        "The request is refused as a whole, or the log does not acknowledge (503, with Retry-After).",
        "Problem",
    )
}

fn receipt_header() -> Value {
    json!({
        "description": "Partition and offset of a single change: hand it in to read your own write.",
        "schema": {"type": "string", "pattern": "^[0-9]+/[0-9]+$"},
    })
}

fn receipt() -> Value {
    json!({
        "type": "object",
        "required": ["partition"],
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "partition": {"type": "integer", "minimum": 0},
            "offset": {
                "type": "integer",
                "minimum": 0,
                "description": "Absent if the log has the change and did not tell where.",
            },
        },
    })
}

fn problem() -> Value {
    let own = ["body-incomplete", "field-forbidden", "media-type-unsupported", "too-many-changes", "unacknowledged"];
    let codes: Vec<&str> = own.into_iter().chain(["untried"]).chain(RejectCode::names()).collect();
    json!({
        "description": "RFC 9457. Codes are stable; a title is constant for its code.",
        "type": "object",
        "required": ["type", "title", "status", "code"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string", "examples": codes},
            "detail": {"type": "string"},
            "field": {"type": "string", "description": "The field to blame, as a path into the change."},
            "results": {
                "type": "array",
                "description": "What became of the changes before the problem.",
                "items": {"$ref": "#/components/schemas/Results/properties/results/items"},
            },
        },
    })
}

fn results() -> Value {
    json!({
        "type": "object",
        "required": ["accepted", "refused", "results"],
        "properties": {
            "accepted": {"type": "integer", "minimum": 0},
            "refused": {"type": "integer", "minimum": 0},
            "results": {
                "type": "array",
                "description": "One for each change, in order.",
                "items": {"oneOf": [
                    {"$ref": "#/components/schemas/Receipt"},
                    {"$ref": "#/components/schemas/Problem"},
                ]},
            },
        },
    })
}
