//! Writes the changes of one user, once: whoever calls owns the retries.

use super::column::Columns;
use super::fault::{Class, fault_of, fault_of_prepare, reason_of};
use super::merge::{Statement, merge};
use super::mutation::{LEN_MAX, split};
use super::probe::{self, Blame};
use super::session::Session;
use super::statement::{Drift, Key, Prepared, Shaped, Texts};
use super::together::{self, Nodes};
use schemas::{Change, Profile, Version};
use scylla::errors::ExecutionError;
use scylla::routing::Token;
use scylla::statement::batch::{Batch, BatchType};

/// Writes profiles at LOCAL_QUORUM. How many writes are out at a time is for the caller to bound.
///
/// Monotonic by version: every change writes at timestamps made from its own version alone, so writing one twice, late,
/// or with others leaves the row that writing all of them once, in order, would leave.
#[derive(Debug)]
pub struct Writer {
    session: Session,
    prepared: Prepared,
    columns: Columns,
}

/// The statements could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The table is not the one the profile describes: exit 64.
    #[error("the table does not fit the profile: {0}")]
    Drift(Box<str>),
    /// Cassandra did not answer; try again.
    #[error("cassandra did not prepare the statements: {0}")]
    Unreachable(Box<str>),
}

/// Why a write is not known to be applied. Never holds a key or a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// It may have been applied, in part or whole: write the same changes again, for ever.
    #[error("cassandra did not confirm the write: {0}")]
    Ambiguous(Box<str>),
    /// Cassandra refuses one of the changes: write them one by one, oldest first, then probe.
    #[error("cassandra refused the write: {0}")]
    Refused(Box<str>),
    /// Every write will fail like this: stop and tell somebody.
    #[error("cassandra will refuse every write until somebody sees to it: {0}")]
    Stop(Box<str>),
}

impl WriteError {
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Ambiguous(_) => Class::Ambiguous,
            Self::Refused(_) => Class::Refused,
            Self::Stop(_) => Class::Stop,
        }
    }
}

impl From<ExecutionError> for WriteError {
    fn from(error: ExecutionError) -> Self {
        let reason = reason_of(&error);
        match fault_of(&error) {
            Class::Ambiguous => Self::Ambiguous(reason),
            Class::Refused => Self::Refused(reason),
            Class::Stop => Self::Stop(reason),
        }
    }
}

impl Writer {
    /// Prepares the statements for `profile` and checks the type behind every `?`.
    pub async fn prepare(session: &Session, profile: &Profile) -> Result<Self, PrepareError> {
        let columns = Columns::of(profile);
        let texts = Texts::new(session.keyspace(), &columns);
        let prepared = Prepared {
            erase: prepare(session, texts.erase, &columns).await?,
            insert: prepare(session, texts.insert, &columns).await?,
            update: prepare(session, texts.update, &columns).await?,
            stub: prepare(session, texts.stub, &columns).await?,
        };
        Ok(Self { session: session.clone(), prepared, columns })
    }

    /// Writes `changes`, which are of one user and in any order; returns when a quorum has them. One attempt.
    ///
    /// They go merged, as one atomic mutation unless they are over 1 MiB, then as several, oldest first. After an error
    /// any of them may have been applied, except that of one refused change nothing was.
    pub async fn write(&self, changes: &[&Change]) -> Result<(), WriteError> {
        let Some(first) = changes.first() else {
            return Ok(());
        };
        debug_assert!(
            changes.iter().all(|change| change.user_id == first.user_id && change.tenant == first.tenant),
            "a write is about one user"
        );
        self.send(Key::of(first), &merge(changes)).await
    }

    /// Which of `users` may share a request, as positions: each is in exactly one run.
    #[must_use]
    pub fn runs(&self, users: &[Vec<&Change>]) -> Vec<Vec<usize>> {
        let state = self.session.driver().get_cluster_state();
        let nodes = Nodes::new(&state, self.session.keyspace());
        let of = |changes: &Vec<&Change>| (nodes.of(|| self.token(changes.first()?)), together::len_of(changes));
        together::runs(users.iter().map(of))
    }

    fn token(&self, change: &Change) -> Option<Token> {
        let erase = Statement::Erase { at: 0 };
        let bound = self.prepared.bind(Key::of(change), erase);
        self.prepared.pick(&erase).statement.calculate_token(&bound).ok()?
    }

    /// Writes changes of the users of one of the [`Self::runs`] as one request: each user merged, each row a mutation of
    /// its own. One attempt.
    ///
    /// After an error some may have been applied and others not; a refusal does not say whose, and nothing was applied.
    pub async fn write_together(&self, users: &[&[&Change]]) -> Result<(), WriteError> {
        let mut statements = Vec::with_capacity(2 * users.len());
        for changes in users {
            let Some(first) = changes.first() else { continue };
            statements.extend(merge(changes).into_iter().map(|statement| (Key::of(first), statement)));
        }
        Ok(self.batch(&statements).await?)
    }

    /// Tells whose fault it is that `change` was refused alone.
    ///
    /// Waits until the nodes agree on the schema, then sends the same statements for the probe row at version `now`.
    /// An error that is not a refusal means that nobody knows yet: ask again.
    pub async fn probe(&self, change: &Change, now: Version) -> Result<Blame, WriteError> {
        self.session.agree().await.map_err(WriteError::Ambiguous)?;
        let probe = probe::like(change, &self.columns, now);
        let Err(error) = self.execute(probe::KEY, &merge(&[&probe])).await else {
            return Ok(Blame::Change);
        };
        match fault_of(&error) {
            Class::Refused => Ok(Blame::Store { reason: error.to_string().into() }),
            Class::Ambiguous | Class::Stop => Err(error.into()),
        }
    }

    async fn send(&self, key: Key<'_>, statements: &[Statement<'_>]) -> Result<(), WriteError> {
        for run in split(statements, LEN_MAX) {
            self.execute(key, run).await?;
        }
        Ok(())
    }

    /// One request about one user: a statement by itself, or an unlogged batch to one partition, which is one mutation.
    async fn execute(&self, key: Key<'_>, statements: &[Statement<'_>]) -> Result<(), ExecutionError> {
        if let [statement] = statements {
            let shaped = &self.prepared.pick(statement).statement;
            self.session.driver().execute_unpaged(shaped, self.prepared.bind(key, *statement)).await?;
            return Ok(());
        }
        self.batch(&statements.iter().map(|statement| (key, *statement)).collect::<Vec<_>>()).await
    }

    async fn batch(&self, statements: &[(Key<'_>, Statement<'_>)]) -> Result<(), ExecutionError> {
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_is_idempotent(true);
        let mut values = Vec::with_capacity(statements.len());
        for (key, statement) in statements {
            batch.append_statement(self.prepared.pick(statement).statement.clone());
            values.push(self.prepared.bind(*key, *statement));
        }
        self.session.driver().batch(&batch, values).await?;
        Ok(())
    }
}

async fn prepare(session: &Session, text: String, columns: &Columns) -> Result<Shaped, PrepareError> {
    let mut statement = session.driver().prepare(text).await.map_err(|error| match fault_of_prepare(&error) {
        Class::Ambiguous => PrepareError::Unreachable(error.to_string().into()),
        Class::Refused | Class::Stop => PrepareError::Drift(error.to_string().into()),
    })?;
    statement.set_is_idempotent(true);
    Shaped::new(statement, columns).map_err(|drift: Drift| PrepareError::Drift(drift.to_string().into()))
}
