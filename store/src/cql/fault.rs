//! What an error of the driver means for the write that met it.
//!
//! One match per enum and every variant by name: a release of the driver that adds one makes clippy
//! (`wildcard_enum_match_arm`) stop the build until somebody has thought. The enums are `non_exhaustive`, so a last arm
//! has to stand; it says [`Class::Ambiguous`], which is safe for whatever comes: the same bytes again change nothing.

use scylla::errors::{BadQuery, DbError, ExecutionError, PrepareError, RequestAttemptError};

/// What to do about a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It may or may not have been applied, or could not be tried: send the same bytes again, for ever.
    Ambiguous,
    /// The server has read it and will not have it; nothing was applied.
    Refused,
    /// No repetition helps and every other request fares the same: somebody has to change something.
    Stop,
}

/// The one judgement on errors of executed statements.
pub(super) fn fault_of(error: &ExecutionError) -> Class {
    match error {
        ExecutionError::LastAttemptError(error) => fault_of_attempt(error),
        ExecutionError::BadQuery(error) => fault_of_bad_query(error),
        ExecutionError::PrepareError(error) => fault_of_prepare(error),
        // Nobody could be asked, or nobody answered in time. A pool that is broken for want of credentials is in here
        // too: Cassandra also refuses a login while it cannot read its own roles.
        ExecutionError::EmptyPlan
        | ExecutionError::ConnectionPoolError(_)
        | ExecutionError::RequestTimeout(_)
        | ExecutionError::SchemaAgreementError(_)
        | ExecutionError::MetadataError(_) => Class::Ambiguous,
        // We never send USE.
        ExecutionError::UseKeyspaceError(_) => Class::Stop,
        _ => Class::Ambiguous,
    }
}

/// As [`fault_of`], for preparing.
pub(super) fn fault_of_prepare(error: &PrepareError) -> Class {
    match error {
        PrepareError::AllAttemptsFailed { first_attempt } => match fault_of_attempt(first_attempt) {
            // A text that cannot be prepared cannot be cured by other values.
            Class::Refused => Class::Stop,
            class @ (Class::Ambiguous | Class::Stop) => class,
        },
        PrepareError::ConnectionPoolError(_) => Class::Ambiguous,
        // Nodes of different releases, in the middle of an upgrade.
        PrepareError::PreparedStatementIdsMismatch => Class::Ambiguous,
        _ => Class::Ambiguous,
    }
}

fn fault_of_attempt(error: &RequestAttemptError) -> Class {
    match error {
        RequestAttemptError::DbError(error, _) => fault_of_server(error),
        // Not sent: the values do not fit their columns, or the request does not fit a frame.
        RequestAttemptError::SerializationError(_) | RequestAttemptError::CqlRequestSerialization(_) => Class::Refused,
        // Sent, perhaps; answered, perhaps.
        RequestAttemptError::UnableToAllocStreamId
        | RequestAttemptError::BrokenConnectionError(_)
        | RequestAttemptError::BodyExtensionsParseError(_)
        | RequestAttemptError::CqlResultParseError(_)
        | RequestAttemptError::CqlErrorParseError(_)
        | RequestAttemptError::UnexpectedResponse(_)
        | RequestAttemptError::NonfinishedPagingState => Class::Ambiguous,
        // The statement is another one than we prepared: the table was changed under us.
        RequestAttemptError::RepreparedIdChanged { .. } | RequestAttemptError::RepreparedIdMissingInBatch => {
            Class::Stop
        }
        _ => Class::Ambiguous,
    }
}

fn fault_of_bad_query(error: &BadQuery) -> Class {
    match error {
        BadQuery::SerializationError(_)
        | BadQuery::ValuesTooLongForKey(_, _)
        | BadQuery::TooManyQueriesInBatchStatement(_) => Class::Refused,
        BadQuery::PartitionKeyExtraction => Class::Stop,
        _ => Class::Ambiguous,
    }
}

fn fault_of_server(error: &DbError) -> Class {
    match error {
        // Whose fault it is shows when the changes are sent one by one and the probe row after them.
        DbError::Invalid
        | DbError::SyntaxError
        | DbError::ConfigError
        | DbError::FunctionFailure { .. }
        | DbError::AlreadyExists { .. } => Class::Refused,
        DbError::Unauthorized | DbError::AuthenticationError => Class::Stop,
        // Too few replicas, too slow, too busy, or a failure on the way: some may have it.
        DbError::Unavailable { .. }
        | DbError::Overloaded
        | DbError::IsBootstrapping
        | DbError::WriteTimeout { .. }
        | DbError::WriteFailure { .. }
        | DbError::ReadTimeout { .. }
        | DbError::ReadFailure { .. }
        | DbError::TruncateError
        | DbError::RateLimitReached { .. }
        | DbError::ServerError
        | DbError::ProtocolError
        // The driver prepares again by itself; what comes through was not applied.
        | DbError::Unprepared { .. }
        | DbError::Other(_) => Class::Ambiguous,
        _ => Class::Ambiguous,
    }
}

/// What may be said of `error` in a log: its kind, never the server's own words, which may name keys and values.
pub(super) fn reason_of(error: &ExecutionError) -> Box<str> {
    if let ExecutionError::LastAttemptError(RequestAttemptError::DbError(kind, _)) = error {
        return kind.to_string().into();
    }
    error.to_string().into()
}

#[cfg(test)]
mod tests;
