//! A refusal as RFC 9457 has it: `application/problem+json` with a code that stays.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// Why a request, or one part of it, was not done. Holds no word of a client's but names of fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    title: Cow<'static, str>,
    /// Seconds after which the same may be asked again.
    retry_after: Option<u32>,
    members: Map<String, Value>,
}

impl Problem {
    /// `code` is stable and kebab-case, and leads to its page; `title` is one constant sentence for it.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, title: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, title: title.into(), retry_after: None, members: Map::new() }
    }

    /// What to do, for this occurrence.
    #[must_use]
    pub fn detail(self, text: impl Into<String>) -> Self {
        self.member("detail", Value::String(text.into()))
    }

    /// The field to blame, as a path into what was sent.
    #[must_use]
    pub fn field(self, path: impl Into<String>) -> Self {
        self.member("field", Value::String(path.into()))
    }

    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// A member of its own.
    #[must_use]
    pub fn member(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }

    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// As the object that is sent, alone or as one of several.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object = Map::from_iter([
            ("type".to_owned(), json!(format!("/problems/{}", self.code))),
            ("title".to_owned(), json!(self.title)),
            ("status".to_owned(), json!(self.status.as_u16())),
            ("code".to_owned(), json!(self.code)),
        ]);
        object.extend(self.members.clone());
        Value::Object(object)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let media = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status, [(header::CONTENT_TYPE, media)], self.to_json().to_string()).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
