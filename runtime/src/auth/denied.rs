//! Why somebody is not let in, and how that is answered (RFC 6750, section 3).

use http::{HeaderValue, StatusCode};

/// Not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No token was sent.
    Missing,
    /// A token, or what was meant to be one, was sent and does not count.
    Invalid(Reason),
    /// The token counts, and does not have this scope.
    Forbidden(&'static str),
    /// The issuer's keys could not be had: nothing is said of the token, and a later try may do.
    Unavailable,
}

/// Why a token does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    HeaderRepeated,
    HeaderMalformed,
    TooLong,
    Malformed,
    DuplicateMember,
    CriticalExtension,
    EmbeddedKey,
    Nested,
    Type,
    Algorithm,
    KeyId,
    KeyUnknown,
    KeyUnfit,
    Signature,
    Issuer,
    Audience,
    Subject,
    TokenId,
    Client,
    IssuedAt,
    NotYetValid,
    Expiry,
    Expired,
    Lifetime,
    Tenant,
    TenantNotAllowed,
    Scope,
}

impl Reason {
    /// Stable kebab-case name.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.row().0
    }

    /// One constant sentence, without full stop.
    #[must_use]
    pub fn text(self) -> &'static str {
        self.row().1
    }

    fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::HeaderRepeated => ("authorization-repeated", "more than one Authorization header was sent"),
            Self::HeaderMalformed => ("authorization-malformed", "Bearer is followed by one space and the token"),
            Self::TooLong => ("token-too-long", "the token is over 8 KiB"),
            Self::Malformed => ("token-malformed", "the token is no signed JWT"),
            Self::DuplicateMember => ("token-duplicate-member", "a name stands twice in the token"),
            Self::CriticalExtension => ("token-extension", "the token asks for an extension of JWS"),
            Self::EmbeddedKey => ("token-embedded-key", "the token brings a key along"),
            Self::Nested => ("token-nested", "the token has a content type"),
            Self::Type => ("token-type", "the token is no access token: typ is not at+jwt"),
            Self::Algorithm => ("algorithm-not-allowed", "the token is signed in a way its issuer may not"),
            Self::KeyId => ("key-id-missing", "the token does not say by kid which key signed it"),
            Self::KeyUnknown => ("key-unknown", "the issuer has no such key"),
            Self::KeyUnfit => ("key-unfit", "the issuer's key of that kid is not for that alg"),
            Self::Signature => ("signature-invalid", "the signature does not fit"),
            Self::Issuer => ("issuer-not-allowed", "the token is of an issuer that does not count here"),
            Self::Audience => ("audience-wrong", "the token is not for us"),
            Self::Subject => ("subject-missing", "sub is missing or empty"),
            Self::TokenId => ("token-id-missing", "jti is missing or empty"),
            Self::Client => ("client-missing", "the token does not name its client, or not in plain text"),
            Self::IssuedAt => ("issued-at-wrong", "iat is missing, no whole number, or in the future"),
            Self::NotYetValid => ("not-yet-valid", "nbf is in the future, or no whole number"),
            Self::Expiry => ("expiry-missing", "exp is missing, or no whole number"),
            Self::Expired => ("expired", "the token has expired"),
            Self::Lifetime => ("lifetime-too-long", "the token lasts for longer than is allowed"),
            Self::Tenant => ("tenant-missing", "the token does not name its tenant, or with characters none has"),
            Self::TenantNotAllowed => ("tenant-not-allowed", "the issuer may not speak for that tenant"),
            Self::Scope => ("scope-malformed", "scope is not one text of words with a space between them"),
        }
    }

    /// Whether the request is at fault rather than the token in it.
    fn is_of_request(self) -> bool {
        matches!(self, Self::HeaderRepeated | Self::HeaderMalformed)
    }
}

impl From<Reason> for Denied {
    fn from(reason: Reason) -> Self {
        Self::Invalid(reason)
    }
}

impl Denied {
    /// 400 for a request that is put wrongly, 401 for a token, 403 for its scope, 503 while there are no keys.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Invalid(reason) if reason.is_of_request() => StatusCode::BAD_REQUEST,
            Self::Missing | Self::Invalid(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Stable kebab-case name.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "token-missing",
            Self::Invalid(reason) => reason.code(),
            Self::Forbidden(_) => "scope-missing",
            Self::Unavailable => "keys-unavailable",
        }
    }

    /// One constant sentence, without full stop.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Missing => "a bearer token is needed in the Authorization header",
            Self::Invalid(reason) => reason.text(),
            Self::Forbidden(_) => "the token does not have the scope that this takes",
            Self::Unavailable => "the keys of the token's issuer cannot be had at the moment",
        }
    }

    /// What `WWW-Authenticate` says; nothing while there are no keys, for another token would not help.
    ///
    /// Without a token it names no error: who did not know that one is needed has made none (RFC 6750, 3.1).
    #[must_use]
    pub fn www_authenticate(self) -> Option<HeaderValue> {
        let realm = "Bearer realm=\"tidewater\"";
        let text = match self {
            Self::Unavailable => return None,
            Self::Missing => realm.to_owned(),
            Self::Invalid(reason) => {
                let error = if reason.is_of_request() { "invalid_request" } else { "invalid_token" };
                format!("{realm}, error=\"{error}\", error_description=\"{}\"", reason.text())
            }
            Self::Forbidden(scope) => format!("{realm}, error=\"insufficient_scope\", scope=\"{scope}\""),
        };
        HeaderValue::try_from(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(denied: Denied) -> String {
        denied.www_authenticate().map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_challenge_is_what_rfc_6750_says() {
        assert_eq!(challenge(Denied::Missing), r#"Bearer realm="tidewater""#);
        let expired = r#"Bearer realm="tidewater", error="invalid_token", error_description="the token has expired""#;
        assert_eq!(challenge(Reason::Expired.into()), expired);
        assert!(challenge(Reason::HeaderRepeated.into()).contains(r#"error="invalid_request""#));
        let forbidden = r#"Bearer realm="tidewater", error="insufficient_scope", scope="changes:write""#;
        assert_eq!(challenge(Denied::Forbidden("changes:write")), forbidden);
        assert_eq!(challenge(Denied::Unavailable), "");
    }

    #[test]
    fn a_status_tells_whose_turn_it_is() {
        assert_eq!(Denied::Missing.status(), 401);
        assert_eq!(Denied::from(Reason::Expired).status(), 401);
        assert_eq!(Denied::from(Reason::HeaderRepeated).status(), 400);
        assert_eq!(Denied::Forbidden("x").status(), 403);
        assert_eq!(Denied::Unavailable.status(), 503);
    }
}
