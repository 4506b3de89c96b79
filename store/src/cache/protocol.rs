//! What may be done to the cache entry of one user, decided on plain data.
//!
//! Redis does the same in `lease.lua` and `fill.lua`; a differential test holds the scripts to this file, and whoever
//! needs a Redis without a server (the model, the simulation) calls it in Redis's place.
//!
//! A reader that misses takes a *lease*: a token of 16 random bytes under the user's own key. It then reads the row at
//! quorum, and fills only if its token is still there. A writer makes its change durable, and only then deletes the
//! key, whatever is in it. So a fill succeeds only if no deletion lies between lease and fill: a change that was settled
//! before the lease was durable before the read began, and the read has it; one that is settled later deletes the token
//! or the value. Whatever else takes an entry away (expiry, eviction, a flush, a restart with nothing) only ever makes
//! fills fail, so it is safe at any time. What is weaker than this is unsound: `tests/model` has the counter-examples.

use super::value::Value;
use std::fmt;
use std::time::Duration;

/// Bytes of a token. Fewer could be guessed or repeat, and a repeated token fills what was deleted.
pub const TOKEN_LEN: usize = 16;

/// How long a reader may take from lease to fill; for so long no other reader of the user is let in.
pub const LEASE: Duration = Duration::from_secs(3);

/// [`Entry::lease`] as Redis runs it: `(key; token, ms)` to `{0}` granted, `{1, value}` found, `{2}` busy.
pub const LEASE_SCRIPT: Script =
    Script { text: include_str!("lease.lua"), sha1: "ab345174c19ab8f48e54fba198e3dfed5993e78b" };

/// [`Entry::fill`] as Redis runs it: `(key; token, value, ms)` to 1 accepted, 0 refused.
pub const FILL_SCRIPT: Script =
    Script { text: include_str!("fill.lua"), sha1: "c035c7e076681c50c2626bdcf77bc0da356aa059" };

/// How long a profile is kept, give or take a tenth: what was filled together does not expire together.
const KEEP_PROFILE: Duration = Duration::from_secs(3_600);

/// How long is kept that there is no such user: whoever probes for names fills the cache with these.
const KEEP_ABSENCE: Duration = Duration::from_secs(60);

const LEASE_TAG: u8 = b'L';
const VALUE_TAG: u8 = b'V';
const DEADLINE_DIGITS: usize = 13;

/// A script of one key; it answers an error, and touches nothing, if its first argument is not [`TOKEN_LEN`] bytes.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    pub text: &'static str,
    /// Of the text, in hexadecimal: the server's name for it.
    pub sha1: &'static str,
}

/// What Redis holds under the key of one user.
///
/// Times are the server's, in milliseconds since 1970-01-01. Each operation takes the time at which it runs, and an
/// entry whose time is up is absent.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Entry {
    content: Content,
    /// The last millisecond at which it is there; `None` if it stays.
    expires_ms: Option<i64>,
}

#[derive(Clone, Default, PartialEq, Eq, Hash)]
enum Content {
    #[default]
    Absent,
    Bytes(Vec<u8>),
    /// A list, a hash, …: nobody of ours writes such.
    Foreign,
}

/// What a reader makes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Get<'a> {
    /// The answer.
    Hit(Value<'a>),
    /// Nothing, or another's lease: ask for a lease, read the row, fill.
    Miss,
    /// Bytes that are neither a value nor a lease, or no bytes: read the row, and do not fill.
    Garbage,
}

/// What became of asking for a lease.
#[derive(Clone, PartialEq, Eq)]
pub enum Leased {
    /// The token lies under the key: begin to read the row now, not earlier.
    Granted,
    /// Another reader has one: read the row, and do not fill.
    Busy,
    /// A value came since the look that missed, as it is stored: to be judged by [`get`] like any other.
    Found(Vec<u8>),
}

/// What became of a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    Accepted,
    /// The token is gone: deleted, expired, evicted or replaced. What was read may be returned, but never cached.
    Refused,
}

/// No entry is touched by a token of another length: it could not be told from a part of something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token has {TOKEN_LEN} bytes")]
pub struct TokenMalformed;

/// What a reader makes of what is stored, `None` if nothing is.
#[must_use]
pub fn get(stored: Option<&[u8]>) -> Get<'_> {
    let Some(bytes) = stored else { return Get::Miss };
    if lease_of(bytes).is_some() {
        return Get::Miss;
    }
    Value::parse(bytes).map_or(Get::Garbage, Get::Hit)
}

/// How long `value` is kept that is filled by `token`: its first bytes are the dice.
#[must_use]
pub fn keep_for(value: &Value<'_>, token: &[u8; TOKEN_LEN]) -> Duration {
    if value.payload.is_empty() {
        return KEEP_ABSENCE;
    }
    let [high, low, ..] = *token;
    let dice = u32::from(u16::from_be_bytes([high, low]));
    KEEP_PROFILE * 9 / 10 + KEEP_PROFILE / 5 * dice / u32::from(u16::MAX)
}

impl Entry {
    /// An entry that holds `bytes` until somebody takes them away, as a plain `SET` leaves it.
    #[must_use]
    pub fn of(bytes: impl Into<Vec<u8>>) -> Self {
        Self { content: Content::Bytes(bytes.into()), expires_ms: None }
    }

    /// An entry of another type than a string.
    #[must_use]
    pub fn foreign() -> Self {
        Self { content: Content::Foreign, expires_ms: None }
    }

    /// The same that is gone behind `expires_ms`.
    #[must_use]
    pub fn until(self, expires_ms: i64) -> Self {
        Self { expires_ms: Some(expires_ms), ..self }
    }

    /// What is stored, if it is bytes.
    #[must_use]
    pub fn bytes(&self, now_ms: i64) -> Option<&[u8]> {
        match &self.content {
            Content::Bytes(bytes) if !self.is_over(now_ms) => Some(bytes),
            Content::Bytes(_) | Content::Absent | Content::Foreign => None,
        }
    }

    /// The last millisecond at which it is there; `None` if it stays, or is not there.
    #[must_use]
    pub fn expires_ms(&self) -> Option<i64> {
        self.expires_ms
    }

    /// Whether there is anything under the key.
    #[must_use]
    pub fn is_absent(&self, now_ms: i64) -> bool {
        self.content == Content::Absent || self.is_over(now_ms)
    }

    /// What a reader makes of it.
    #[must_use]
    pub fn get(&self, now_ms: i64) -> Get<'_> {
        match self.content {
            Content::Foreign if !self.is_over(now_ms) => Get::Garbage,
            Content::Foreign | Content::Absent | Content::Bytes(_) => get(self.bytes(now_ms)),
        }
    }

    /// Puts `token` under the key, if neither a value nor a running lease is there. Garbage does not stand in the way.
    ///
    /// # Errors
    /// [`TokenMalformed`]; the entry is as before.
    pub fn lease(&mut self, now_ms: i64, token: &[u8]) -> Result<Leased, TokenMalformed> {
        if token.len() != TOKEN_LEN {
            return Err(TokenMalformed);
        }
        if let Some(bytes) = self.bytes(now_ms) {
            if bytes.first() == Some(&VALUE_TAG) {
                return Ok(Leased::Found(bytes.to_vec()));
            }
            if lease_of(bytes).is_some_and(|(deadline_ms, _)| deadline_ms > now_ms) {
                return Ok(Leased::Busy);
            }
        }
        let deadline_ms = now_ms.saturating_add(millis(LEASE));
        let mut bytes = format!("L{deadline_ms:013}").into_bytes();
        bytes.extend_from_slice(token);
        *self = Self::of(bytes).until(deadline_ms);
        Ok(Leased::Granted)
    }

    /// Replaces the lease of `token` by `value`, which is as [`Value::encode`] gives it, for `keep_for`.
    ///
    /// # Errors
    /// [`TokenMalformed`]; the entry is as before.
    pub fn fill(
        &mut self,
        now_ms: i64,
        token: &[u8],
        value: &[u8],
        keep_for: Duration,
    ) -> Result<Filled, TokenMalformed> {
        if token.len() != TOKEN_LEN {
            return Err(TokenMalformed);
        }
        // The deadline is not asked: a lease that ran out and was neither taken over nor deleted is as good as before.
        let is_ours = self.bytes(now_ms).and_then(lease_of).is_some_and(|(_, leased)| leased == token);
        if !is_ours {
            return Ok(Filled::Refused);
        }
        *self = Self::of(value).until(now_ms.saturating_add(millis(keep_for)));
        Ok(Filled::Accepted)
    }

    /// Takes away whatever is there: the invalidation.
    pub fn delete(&mut self) {
        *self = Self::default();
    }

    fn is_over(&self, now_ms: i64) -> bool {
        self.expires_ms.is_some_and(|expires_ms| now_ms > expires_ms)
    }
}

/// Deadline and token of `L<deadline ms:13><token:16>`.
fn lease_of(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (deadline, token) = rest.split_at_checked(DEADLINE_DIGITS)?;
    if *tag != LEASE_TAG || token.len() != TOKEN_LEN || !deadline.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((std::str::from_utf8(deadline).ok()?.parse().ok()?, token))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Says what it is, never what is in it: a value is user data, and a token is a right.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.content {
            Content::Absent => "Entry(absent)",
            Content::Foreign => "Entry(foreign)",
            Content::Bytes(bytes) if lease_of(bytes).is_some() => "Entry(lease)",
            Content::Bytes(bytes) if Value::parse(bytes).is_some() => "Entry(value)",
            Content::Bytes(_) => "Entry(garbage)",
        })
    }
}

impl fmt::Debug for Leased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Granted => "Granted",
            Self::Busy => "Busy",
            Self::Found(_) => "Found(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: [u8; TOKEN_LEN] = *b"mine............";
    const OTHER: [u8; TOKEN_LEN] = *b"other...........";
    const ADA: &[u8] = br#"V0000000000000008000070000000000000000042{"plan":"pro"}"#;
    const HOUR: Duration = Duration::from_secs(3_600);

    fn leased(now_ms: i64) -> Entry {
        let mut entry = Entry::default();
        assert_eq!(entry.lease(now_ms, &MINE), Ok(Leased::Granted));
        entry
    }

    #[test]
    fn a_lease_is_the_bytes_that_the_scripts_write() {
        let entry = leased(1_795_331_234_567);
        assert_eq!(entry.bytes(1_795_331_234_567), Some(&b"L1795331237567mine............"[..]));
        assert_eq!(entry.expires_ms(), Some(1_795_331_237_567));
    }

    #[test]
    fn only_the_token_that_is_there_fills() {
        let mut entry = leased(0);
        assert_eq!(entry.fill(1, &OTHER, ADA, HOUR), Ok(Filled::Refused));
        assert_eq!(entry.get(1), Get::Miss);
        assert_eq!(entry.fill(1, &MINE, ADA, HOUR), Ok(Filled::Accepted));
        assert!(matches!(entry.get(3_600_001), Get::Hit(value) if value.payload == r#"{"plan":"pro"}"#));
        assert_eq!(entry.get(3_600_002), Get::Miss, "its hour is over");
        assert_eq!(entry.fill(2, &MINE, ADA, HOUR), Ok(Filled::Refused), "a token fills once");
    }

    #[test]
    fn whatever_takes_the_token_away_takes_the_fill_away() {
        for (what, mut entry) in
            [("absent", Entry::default()), ("foreign", Entry::foreign()), ("garbage", Entry::of("garbage"))]
        {
            assert_eq!(entry.fill(0, &MINE, ADA, HOUR), Ok(Filled::Refused), "{what}");
        }
        let mut deleted = leased(0);
        deleted.delete();
        assert_eq!(deleted.fill(1, &MINE, ADA, HOUR), Ok(Filled::Refused));
        let mut expired = leased(0);
        assert_eq!(expired.fill(3_001, &MINE, ADA, HOUR), Ok(Filled::Refused));
        let mut taken_over = leased(0);
        assert_eq!(taken_over.lease(3_000, &OTHER), Ok(Leased::Granted));
        assert_eq!(taken_over.fill(3_000, &MINE, ADA, HOUR), Ok(Filled::Refused));
    }

    #[test]
    fn one_reader_at_a_time_has_the_lease_and_a_value_is_never_overwritten_by_one() {
        let mut entry = leased(0);
        assert_eq!(entry.lease(2_999, &OTHER), Ok(Leased::Busy));
        assert_eq!(entry.fill(2_999, &MINE, ADA, HOUR), Ok(Filled::Accepted));
        assert_eq!(entry.lease(3_000, &OTHER), Ok(Leased::Found(ADA.to_vec())));
    }

    #[test]
    fn garbage_is_no_answer_and_blocks_nobody() {
        let garbage: [&[u8]; 5] = [b"", b"garbage", b"L", b"L00000000x0000mine............", b"L9999999999999mine"];
        let entries = garbage.into_iter().map(Entry::of).chain([Entry::foreign()]);
        for mut entry in entries {
            assert_eq!(entry.get(0), Get::Garbage);
            assert_eq!(entry.lease(0, &MINE), Ok(Leased::Granted));
        }
    }

    #[test]
    fn a_token_of_another_length_is_refused_and_changes_nothing() {
        for token in [&b""[..], b"7", b"fifteen bytes..", b"seventeen bytes.."] {
            for entry in [Entry::default(), leased(0), Entry::of(ADA), Entry::of([b"L0000000003000", token].concat())] {
                let mut tried = entry.clone();
                assert_eq!(tried.lease(1, token), Err(TokenMalformed));
                assert_eq!(tried.fill(1, token, ADA, HOUR), Err(TokenMalformed));
                assert_eq!(tried, entry);
            }
        }
    }

    #[test]
    fn profiles_are_kept_for_an_hour_give_or_take_a_tenth_and_absence_for_a_minute() {
        let keep = |payload, first| {
            let token = [first; TOKEN_LEN];
            keep_for(&Value { version: schemas::Version::FIRST, receipt: None, payload }, &token)
        };
        assert_eq!(keep("{}", 0), Duration::from_secs(3_240));
        assert_eq!(keep("{}", 255), Duration::from_secs(3_960));
        assert_eq!(keep("", 255), Duration::from_secs(60));
    }

    #[test]
    fn a_debug_print_never_shows_what_is_kept() {
        let mut entry = Entry::of(ADA);
        assert_eq!(format!("{entry:?} {:?}", entry.lease(0, &MINE)), "Entry(value) Ok(Found(..))");
        assert_eq!(format!("{:?}", leased(0)), "Entry(lease)");
    }
}
