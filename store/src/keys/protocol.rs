//! What may be done to the entry of one idempotency key, decided on plain data.
//!
//! Redis does the same in `begin.lua`, `finish.lua` and `abandon.lua`; a differential test holds the scripts to this file,
//! and the directory's keeper calls it as it is.
//!
//! Whoever begins takes a *lease*: a token of 16 random bytes under the key, with the digest of the body. Until the lease
//! runs out nobody else may do the request; then it is free, whatever became of its holder. So a request whose holder dies
//! between doing and finishing may be done once more, and one whose holder is slower than its lease likewise: nobody can
//! tell the dead from the slow. An answer is kept only if nobody else has the key by then. A holder who comes late to a key
//! that nobody has is let in: what he has done is done, and his answer spares the next one the repetition.
//!
//! Twice is once: a token that begins or finishes again, because the first confirmation was lost, is told the same. What is
//! under the key and is not of this file's making stops everybody: forgetting it could do a request twice.

use crate::cache::protocol::Script;
use std::fmt;
use std::time::Duration;

/// Bytes of a token.
pub const TOKEN_LEN: usize = 16;

/// Bytes of a digest (SHA-256).
pub const DIGEST_LEN: usize = 32;

/// Bytes of an answer that are kept. What is longer was still done: that much is remembered of it.
pub const ANSWER_LEN_MAX: usize = 64 << 10;

/// [`Entry::begin`] as Redis runs it.
pub const BEGIN_SCRIPT: Script =
    Script { text: include_str!("begin.lua"), sha1: "aef37ba2b39c50acba35451d8b9c1a96a5dd7cbe" };

/// [`Entry::finish`] as Redis runs it.
pub const FINISH_SCRIPT: Script =
    Script { text: include_str!("finish.lua"), sha1: "f06d9514acb3578855ca64964f57faea78d589ce" };

/// [`Entry::abandon`] as Redis runs it.
pub const ABANDON_SCRIPT: Script =
    Script { text: include_str!("abandon.lua"), sha1: "ce6b98b1b859f87d8cf9e5268a1b0fe696b918b3" };

const UNTIL_DIGITS: usize = 13;

/// The last moment that has no more than its digits, in the year 2286.
const UNTIL_MS_MAX: i64 = 9_999_999_999_999;

/// How long what is kept. Everybody who shares a keeper has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long one may take from begin to finish, while nobody else may do the request.
    pub lease: Duration,
    /// How long an answer is kept.
    pub keep_for: Duration,
}

impl Default for Terms {
    /// Thirty seconds, which is longer than the broker is waited for; and a day.
    fn default() -> Self {
        Self { lease: Duration::from_secs(30), keep_for: Duration::from_secs(24 * 3_600) }
    }
}

/// What lies under one key: `<state><until ms:13><token:16><body:32><answer>`. State `P` is in flight, `A` answered, `D`
/// done without an answer. From its `until` on, in milliseconds since 1970-01-01 on the keeper's clock, it counts as absent.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub enum Entry {
    #[default]
    Absent,
    Bytes(Vec<u8>),
    /// A list, a hash, …: nobody of ours writes such.
    Foreign,
}

/// What became of asking for a turn.
#[derive(Clone, PartialEq, Eq)]
pub enum Began {
    /// The token lies under the key.
    Granted,
    /// What is kept.
    Answered(Vec<u8>),
    /// It was done, and the answer was too long.
    Done,
    /// Another token is there, and has so much time left.
    InFlight {
        left: Duration,
    },
    OtherBody,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    Kept,
    /// The lease ran out, and somebody else has the key: his answer counts. What was done is done all the same.
    Lost,
}

/// What became of giving a turn back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    Freed,
    /// The key is not this token's, or is answered.
    NotOurs,
}

/// What is there is not of this file's making; it stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an entry of an idempotency key")]
pub struct Foreign;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    InFlight,
    Answered,
    Done,
}

struct Held<'a> {
    state: State,
    until_ms: i64,
    token: &'a [u8],
    body: &'a [u8],
    answer: &'a [u8],
}

impl Entry {
    /// Takes the key for `token`, if nobody else has it.
    ///
    /// # Errors
    /// [`Foreign`]; the entry is as before.
    pub fn begin(
        &mut self,
        now_ms: i64,
        token: &[u8; TOKEN_LEN],
        body: &[u8; DIGEST_LEN],
        lease: Duration,
    ) -> Result<Began, Foreign> {
        if let Some(held) = self.held(now_ms)? {
            if held.body != body {
                return Ok(Began::OtherBody);
            }
            match held.state {
                State::Answered => return Ok(Began::Answered(held.answer.to_vec())),
                State::Done => return Ok(Began::Done),
                State::InFlight if held.token != token => {
                    let left_ms = u64::try_from(held.until_ms.saturating_sub(now_ms)).unwrap_or(0);
                    return Ok(Began::InFlight { left: Duration::from_millis(left_ms) });
                }
                // The same asks again: what it was told first has not come through.
                State::InFlight => {}
            }
        }
        *self = entry(State::InFlight, until(now_ms, lease), token, body, &[]);
        Ok(Began::Granted)
    }

    /// Keeps the answer of `token`, unless somebody else has the key.
    ///
    /// # Errors
    /// [`Foreign`]; the entry is as before.
    pub fn finish(
        &mut self,
        now_ms: i64,
        turn: (&[u8; TOKEN_LEN], &[u8; DIGEST_LEN]),
        answer: &[u8],
        keep_for: Duration,
    ) -> Result<Finished, Foreign> {
        let (token, body) = turn;
        if let Some(held) = self.held(now_ms)? {
            if held.token != token {
                return Ok(Finished::Lost);
            }
            if held.state != State::InFlight {
                return Ok(Finished::Kept);
            }
        }
        let (state, answer) = kept(answer);
        *self = entry(state, until(now_ms, keep_for), token, body, answer);
        Ok(Finished::Kept)
    }

    /// Frees the key, if `token` has it and has not finished.
    ///
    /// # Errors
    /// [`Foreign`]; the entry is as before.
    pub fn abandon(&mut self, now_ms: i64, token: &[u8; TOKEN_LEN]) -> Result<Abandoned, Foreign> {
        let is_ours = self.held(now_ms)?.is_some_and(|held| held.state == State::InFlight && held.token == token);
        if !is_ours {
            return Ok(Abandoned::NotOurs);
        }
        *self = Self::Absent;
        Ok(Abandoned::Freed)
    }

    /// From when on it counts as absent; `None` for what is absent, or is not ours.
    #[must_use]
    pub fn until_ms(&self) -> Option<i64> {
        match self {
            Self::Bytes(bytes) => held_of(bytes).map(|held| held.until_ms),
            Self::Absent | Self::Foreign => None,
        }
    }

    /// What is there and not over.
    fn held(&self, now_ms: i64) -> Result<Option<Held<'_>>, Foreign> {
        match self {
            Self::Absent => Ok(None),
            Self::Foreign => Err(Foreign),
            Self::Bytes(bytes) => {
                let held = held_of(bytes).ok_or(Foreign)?;
                Ok((held.until_ms > now_ms).then_some(held))
            }
        }
    }
}

impl State {
    fn tag(self) -> u8 {
        match self {
            Self::InFlight => b'P',
            Self::Answered => b'A',
            Self::Done => b'D',
        }
    }
}

/// The state and the answer as they are stored of an answer of any length, for [`FINISH_SCRIPT`].
#[must_use]
pub fn as_stored(answer: &[u8]) -> ([u8; 1], &[u8]) {
    let (state, answer) = kept(answer);
    ([state.tag()], answer)
}

fn kept(answer: &[u8]) -> (State, &[u8]) {
    if answer.len() > ANSWER_LEN_MAX { (State::Done, &[]) } else { (State::Answered, answer) }
}

fn entry(state: State, until_ms: i64, token: &[u8; TOKEN_LEN], body: &[u8; DIGEST_LEN], answer: &[u8]) -> Entry {
    let until = format!("{until_ms:013}");
    Entry::Bytes([&[state.tag()], until.as_bytes(), token, body, answer].concat())
}

fn until(now_ms: i64, time: Duration) -> i64 {
    let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    now_ms.saturating_add(ms).clamp(0, UNTIL_MS_MAX)
}

fn held_of(bytes: &[u8]) -> Option<Held<'_>> {
    let (tag, rest) = bytes.split_first()?;
    let (until, rest) = rest.split_at_checked(UNTIL_DIGITS)?;
    let (token, rest) = rest.split_at_checked(TOKEN_LEN)?;
    let (body, answer) = rest.split_at_checked(DIGEST_LEN)?;
    let state = match tag {
        b'P' => State::InFlight,
        b'A' => State::Answered,
        b'D' => State::Done,
        _ => return None,
    };
    if !until.iter().all(u8::is_ascii_digit) || (state != State::Answered && !answer.is_empty()) {
        return None;
    }
    Some(Held { state, until_ms: std::str::from_utf8(until).ok()?.parse().ok()?, token, body, answer })
}

/// Says what it is, never what is in it: a token is a right, and an answer tells of a user.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "Entry(absent)",
            Self::Foreign => "Entry(foreign)",
            Self::Bytes(bytes) => match held_of(bytes).map(|held| held.state) {
                Some(State::InFlight) => "Entry(in flight)",
                Some(State::Answered) => "Entry(answered)",
                Some(State::Done) => "Entry(done)",
                None => "Entry(garbage)",
            },
        })
    }
}

impl fmt::Debug for Began {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted => f.write_str("Granted"),
            Self::Answered(_) => f.write_str("Answered(..)"),
            Self::Done => f.write_str("Done"),
            Self::InFlight { left } => f.debug_struct("InFlight").field("left", left).finish(),
            Self::OtherBody => f.write_str("OtherBody"),
        }
    }
}

#[cfg(test)]
mod tests;
