//! Who may do a request, and what everybody else is told.

use super::key::{BodyDigest, IdempotencyKey};
use super::protocol::{Began, TOKEN_LEN};
use std::fmt;
use std::time::Duration;
use uuid::Uuid;

/// What became of asking for a turn.
#[must_use = "whoever has the turn does the request, and nobody else"]
pub enum Begun {
    /// Do it, within the lease, then finish.
    New(Turn),
    /// It was done with the same body: this was the answer.
    Answered(Vec<u8>),
    /// It was done with the same body, and the answer was longer than is kept.
    Done,
    /// Somebody does it with the same body; ask again after that time.
    InFlight { retry_after: Duration },
    /// The key stands for a request with another body.
    OtherBody,
}

/// The right to do one request, until its lease runs out. Dropped, it leaves the key in flight until then.
#[must_use = "finish or abandon it: until then, or until the lease runs out, nobody else may do the request"]
pub struct Turn {
    key: IdempotencyKey,
    body: BodyDigest,
    token: [u8; TOKEN_LEN],
}

impl Turn {
    /// What is asked for with a token that nobody else has. It is a right once the keeper has granted it, not before.
    pub fn ask(key: &IdempotencyKey, body: &BodyDigest) -> Self {
        Self { key: key.clone(), body: body.clone(), token: Uuid::new_v4().into_bytes() }
    }

    #[must_use]
    pub fn key(&self) -> &IdempotencyKey {
        &self.key
    }

    #[must_use]
    pub fn body(&self) -> &BodyDigest {
        &self.body
    }

    /// What lies under the key while the turn is out.
    #[must_use]
    pub fn token(&self) -> &[u8; TOKEN_LEN] {
        &self.token
    }

    /// What whoever asked for it is told.
    pub fn told(self, began: Began) -> Begun {
        match began {
            Began::Granted => Begun::New(self),
            Began::Answered(answer) => Begun::Answered(answer),
            Began::Done => Begun::Done,
            Began::InFlight { left } => Begun::InFlight { retry_after: left },
            Began::OtherBody => Begun::OtherBody,
        }
    }
}

/// Never the token: who has it may answer.
impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn(..)")
    }
}

/// Never the answer: it tells of a user's change.
impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New(_) => f.write_str("New(..)"),
            Self::Answered(_) => f.write_str("Answered(..)"),
            Self::Done => f.write_str("Done"),
            Self::InFlight { retry_after } => f.debug_struct("InFlight").field("retry_after", retry_after).finish(),
            Self::OtherBody => f.write_str("OtherBody"),
        }
    }
}
