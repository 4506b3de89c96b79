//! What an error of the Redis client means.
//!
//! As in [`crate::cql`]: every variant by name, and a last arm only because the enums are `non_exhaustive`.

use super::error::Class;
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// The one judgement on errors of the client.
pub(super) fn fault_of(error: &RedisError) -> Class {
    match error.kind() {
        ErrorKind::Server(kind) => fault_of_server(kind),
        ErrorKind::Extension => fault_of_extension(error),
        ErrorKind::Io
        | ErrorKind::Parse
        | ErrorKind::UnexpectedReturnType
        | ErrorKind::MasterNameNotFoundBySentinel
        | ErrorKind::NoValidReplicasFoundBySentinel
        | ErrorKind::ClusterConnectionNotFound => Class::Ambiguous,
        ErrorKind::AuthenticationFailed
        | ErrorKind::InvalidClientConfig
        | ErrorKind::Client
        | ErrorKind::EmptySentinelList
        | ErrorKind::RESP3NotSupported => Class::Stop,
        _ => Class::Ambiguous,
    }
}

fn fault_of_server(kind: ServerErrorKind) -> Class {
    match kind {
        // A start, a fail-over or a long script: it passes.
        ServerErrorKind::BusyLoading
        | ServerErrorKind::TryAgain
        | ServerErrorKind::ClusterDown
        | ServerErrorKind::MasterDown
        | ServerErrorKind::ReadOnly
        | ServerErrorKind::NotBusy
        | ServerErrorKind::ExecAbort
        | ServerErrorKind::NoScript
        | ServerErrorKind::NoSub
        | ServerErrorKind::ResponseError => Class::Ambiguous,
        // A node of a cluster behind a plain connection, or an account without the right.
        ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::CrossSlot | ServerErrorKind::NoPerm => {
            Class::Stop
        }
        _ => Class::Ambiguous,
    }
}

/// Codes that the client has no name for.
fn fault_of_extension(error: &RedisError) -> Class {
    match code_of(error).as_deref() {
        Some("NOAUTH" | "WRONGPASS") => Class::Stop,
        // BUSY, MISCONF, OOM, NOREPLICAS, …: a state of the server, which may change.
        Some(_) | None => Class::Ambiguous,
    }
}

/// The first word of what the server said; of a pipeline, about the first command it said anything against.
fn code_of(error: &RedisError) -> Option<Box<str>> {
    let errors = error.clone().into_server_errors()?;
    errors.first().map(|(_, error)| error.code().into())
}

/// What may be said of `error` in a log: its kind and code, never the server's own words, which may name keys.
pub(super) fn reason_of(error: &RedisError) -> Box<str> {
    if error.is_io_error() {
        return error.to_string().into();
    }
    code_of(error).unwrap_or_else(|| error.category().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: ErrorKind) -> RedisError {
        RedisError::from((kind, "as the client says it", "tw:p1:{main/ada}".to_owned()))
    }

    #[test]
    fn what_passes_by_itself_is_done_again() {
        for kind in
            [ErrorKind::Io, ErrorKind::Parse, ServerErrorKind::BusyLoading.into(), ServerErrorKind::ReadOnly.into()]
        {
            assert_eq!(fault_of(&of(kind)), Class::Ambiguous, "{kind:?}");
        }
    }

    #[test]
    fn what_somebody_has_to_configure_stops() {
        for kind in [ErrorKind::AuthenticationFailed, ServerErrorKind::NoPerm.into(), ServerErrorKind::Moved.into()] {
            assert_eq!(fault_of(&of(kind)), Class::Stop, "{kind:?}");
        }
    }

    #[test]
    fn a_reason_never_holds_what_the_server_said_of_a_key() {
        for kind in
            [ServerErrorKind::NoPerm.into(), ErrorKind::UnexpectedReturnType, ServerErrorKind::ResponseError.into()]
        {
            assert!(!reason_of(&of(kind)).contains("ada"), "{kind:?}");
        }
    }
}
