//! Why there is no answer, as problem details (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use runtime::http;
use schemas::Version;
use store::through::{self, Source};

/// Never holds what was asked: user ids are user data, and so are the texts that people put in their place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("there is nothing under this path")]
    NothingHere,
    #[error("the path has no such method")]
    MethodUnknown,
    #[error("the access token speaks for a tenant that cannot be one")]
    TenantInvalid,
    #[error("a user id is 1 to 128 bytes of text without control characters, percent-encoded where a path needs it")]
    UserIdInvalid,
    #[error("the only parameter is fields=, once, with names of fields of a profile between commas")]
    QueryInvalid,
    #[error("a receipt is partition/offset, two numbers, as the write was answered with")]
    ReceiptInvalid,
    #[error("the receipt is of a partition that this user's changes never go to: it is of another user's change")]
    ReceiptElsewhere,
    #[error("the change of the receipt is not settled yet; ask again")]
    NotYet,
    /// The version is of what was deleted, if anything was.
    #[error("there is no such user")]
    UserUnknown { version: Option<Version>, by: Source },
    #[error("no change has this receipt, or none that can be seen yet")]
    ChangeUnknown,
    #[error("the change is settled, and too old for anybody to tell how")]
    ChangeGone,
    #[error("too much is asked for at once; ask again later")]
    Overloaded,
    #[error("the store does not answer; ask again")]
    StoreAway,
    #[error("the store refuses to answer; a repetition does not help")]
    StoreBroken,
    #[error("the log does not answer; ask again")]
    LogAway,
}

/// When to ask again, in seconds; nothing here takes longer to pass if it passes soon.
const AGAIN: HeaderValue = HeaderValue::from_static("1");

impl Problem {
    /// Stable, for programs.
    fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NothingHere => (StatusCode::NOT_FOUND, "nothing-here"),
            Self::MethodUnknown => (StatusCode::METHOD_NOT_ALLOWED, "method-unknown"),
            Self::TenantInvalid => (StatusCode::FORBIDDEN, "tenant-invalid"),
            Self::UserIdInvalid => (StatusCode::BAD_REQUEST, "user-id-invalid"),
            Self::QueryInvalid => (StatusCode::BAD_REQUEST, "query-invalid"),
            Self::ReceiptInvalid => (StatusCode::BAD_REQUEST, "receipt-invalid"),
            Self::ReceiptElsewhere => (StatusCode::BAD_REQUEST, "receipt-elsewhere"),
            Self::NotYet => (StatusCode::CONFLICT, "not-yet"),
            Self::UserUnknown { .. } => (StatusCode::NOT_FOUND, "user-unknown"),
            Self::ChangeUnknown => (StatusCode::NOT_FOUND, "change-unknown"),
            Self::ChangeGone => (StatusCode::GONE, "change-gone"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::StoreAway => (StatusCode::SERVICE_UNAVAILABLE, "store-away"),
            Self::StoreBroken => (StatusCode::INTERNAL_SERVER_ERROR, "store-broken"),
            Self::LogAway => (StatusCode::SERVICE_UNAVAILABLE, "log-away"),
        }
    }

    fn may_pass(&self) -> bool {
        matches!(self, Self::NotYet | Self::Overloaded | Self::StoreAway | Self::LogAway)
    }
}

impl From<through::Error> for Problem {
    fn from(error: through::Error) -> Self {
        match error {
            through::Error::Unreachable(_) => Self::StoreAway,
            through::Error::Refused(_) | through::Error::Foreign => Self::StoreBroken,
            through::Error::Overloaded => Self::Overloaded,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code) = self.code();
        let mut response = http::Problem::new(status, code, self.to_string()).into_response();
        let headers = response.headers_mut();
        // What is wrong with one request says nothing of the next.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        if self.may_pass() {
            headers.insert(header::RETRY_AFTER, AGAIN);
        }
        if let Self::UserUnknown { version, by } = self {
            crate::view::mark(headers, version, by);
        }
        response
    }
}
