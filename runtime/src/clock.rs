//! tmp
#[derive(Clone, Debug)]
pub struct Clock { base: Option<(i64, tokio::time::Instant)> }
impl Clock {
    pub fn system() -> Self { Self { base: None } }
    pub fn fixed(ms: i64) -> Self { Self { base: Some((ms, tokio::time::Instant::now())) } }
    #[allow(clippy::disallowed_methods, clippy::cast_possible_truncation, reason = "x")]
    pub fn now_ms(&self) -> i64 { match self.base { Some((ms, at)) => ms + at.elapsed().as_millis() as i64, None => std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64) } }
}
