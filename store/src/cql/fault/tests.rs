use super::*;
use crate::cql::WriteError;
use scylla::errors::{ConnectionError, ConnectionPoolError, WriteType};
use scylla::serialize::SerializationError;
use scylla::statement::Consistency;
use std::time::Duration;

fn server(error: DbError) -> ExecutionError {
    ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, "Top keys are: profiles.ada".into()))
}

/// I8: what may have been applied is repeated, never dead-lettered.
#[test]
fn what_may_have_been_applied_is_ambiguous() {
    let (consistency, required, received) = (Consistency::LocalQuorum, 2, 1);
    let ambiguous = [
        server(DbError::WriteTimeout { consistency, received, required, write_type: WriteType::UnloggedBatch }),
        server(DbError::WriteFailure {
            consistency,
            received,
            required,
            numfailures: 1,
            write_type: WriteType::Simple,
        }),
        server(DbError::Unavailable { consistency, required, alive: 1 }),
        server(DbError::Overloaded),
        server(DbError::IsBootstrapping),
        server(DbError::ServerError),
        server(DbError::Other(0x9999)),
        ExecutionError::RequestTimeout(Duration::from_secs(7)),
        ExecutionError::EmptyPlan,
        ExecutionError::ConnectionPoolError(ConnectionPoolError::Broken {
            last_connection_error: ConnectionError::ConnectTimeout,
        }),
        ExecutionError::LastAttemptError(RequestAttemptError::UnableToAllocStreamId),
    ];
    for error in ambiguous {
        assert_eq!(fault_of(&error), Class::Ambiguous, "{error}");
    }
}

#[test]
fn what_the_server_has_read_and_will_not_have_is_refused() {
    let refused = [
        server(DbError::Invalid),
        server(DbError::SyntaxError),
        server(DbError::ConfigError),
        ExecutionError::BadQuery(BadQuery::SerializationError(SerializationError::new(std::fmt::Error))),
        ExecutionError::BadQuery(BadQuery::ValuesTooLongForKey(70_000, 65_535)),
    ];
    for error in refused {
        assert_eq!(fault_of(&error), Class::Refused, "{error}");
    }
}

#[test]
fn what_every_other_write_would_meet_too_stops() {
    let reprepared = RequestAttemptError::RepreparedIdChanged {
        statement: String::new(),
        expected_id: vec![1],
        reprepared_id: vec![2],
    };
    let stop = [server(DbError::Unauthorized), ExecutionError::LastAttemptError(reprepared)];
    for error in stop {
        assert_eq!(fault_of(&error), Class::Stop, "{error}");
    }
}

#[test]
fn a_statement_that_cannot_be_prepared_is_no_refusal_of_a_change() {
    let attempt = |error| PrepareError::AllAttemptsFailed {
        first_attempt: RequestAttemptError::DbError(error, "Undefined column name shoe_size".into()),
    };
    assert_eq!(fault_of_prepare(&attempt(DbError::Invalid)), Class::Stop);
    assert_eq!(fault_of_prepare(&attempt(DbError::Overloaded)), Class::Ambiguous);
}

#[test]
fn the_servers_own_words_never_reach_an_error_about_a_change() {
    let error = WriteError::from(server(DbError::Invalid));
    assert_eq!(error.class(), Class::Refused);
    assert!(!error.to_string().contains("ada") && !format!("{error:?}").contains("ada"), "{error:?}");
}
