//! What of a connection is a request, strictly: bytes that two readers could take for different requests go no further.
//!
//! Whoever stands before us may end a request elsewhere than we do if its head leaves that open: a line that ends with a
//! bare LF, a folded header, two lengths, a length beside an encoding. What comes after such a place would be a request that
//! nobody in front has seen. So a head is looked at as bytes before the HTTP library reads any of it, and how far its body goes is
//! followed, so that the next head is found where the library will look for it.
//!
//! HTTP/1.1 and 1.0 only (RFC 9112).

/// Longest line of a chunk: its size, and an extension that nobody reads.
const CHUNK_LINE_LEN_MAX: usize = 256;
/// Of all trailers of a body.
const TRAILERS_LEN_MAX: usize = 4 * 1024;

/// Names that decide what a request is, and that a reader in front may take an underscore for a hyphen in.
const SENSITIVE: [&str; 8] = [
    "authorization",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "tidewater-receipt",
    "transfer-encoding",
    "x-forwarded-for",
];

/// Why a request goes no further. Never says what stood there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    LineEnd,
    RequestLine,
    HeaderName,
    Folding,
    Host,
    Length,
    Encoding,
    Target,
    TooLong,
    Chunk,
}

/// Where in a connection the next byte stands.
#[derive(Debug)]
enum Phase {
    /// In a head, of which these bytes are held back.
    Head(Vec<u8>),
    /// So many bytes before the end of a body.
    Length(u64),
    /// In the line of a chunk's size, of which these bytes have been.
    ChunkSize(Vec<u8>),
    /// So many bytes before the end of a chunk, that of its line included.
    ChunkData(u64),
    /// Behind the last chunk; what of the line has been, and how much of all trailers.
    Trailers { line: Vec<u8>, len: usize },
}

/// Follows the requests of one connection.
#[derive(Debug)]
pub(super) struct Framing {
    phase: Phase,
    head_len_max: usize,
}

/// How the body of a request is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delimited {
    Length(u64),
    Chunks,
}

impl Framing {
    pub(super) fn new(head_len_max: usize) -> Self {
        Self { phase: Phase::Head(Vec::new()), head_len_max }
    }

    /// Whether what is wrong now is wrong with a head, and can still be answered.
    pub(super) fn is_in_head(&self) -> bool {
        matches!(self.phase, Phase::Head(_))
    }

    /// Moves what is well formed of `bytes` into `passed`; the beginning of a head waits for its end.
    pub(super) fn feed(&mut self, mut bytes: &[u8], passed: &mut Vec<u8>) -> Result<(), Violation> {
        while let Some((first, rest)) = bytes.split_first() {
            match &mut self.phase {
                Phase::Head(held) => {
                    held.push(*first);
                    bytes = rest;
                    if held.len() > self.head_len_max {
                        return Err(Violation::TooLong);
                    }
                    // A bare LF ends a head for those who take it for an end, so there it is judged.
                    if held.ends_with(b"\n\r\n") || held.ends_with(b"\n\n") {
                        let delimited = judge(held)?;
                        passed.append(held);
                        self.phase = match delimited {
                            Delimited::Length(0) => Phase::Head(Vec::new()),
                            Delimited::Length(left) => Phase::Length(left),
                            Delimited::Chunks => Phase::ChunkSize(Vec::new()),
                        };
                    }
                }
                Phase::Length(left) => {
                    let (taken, rest) = split(bytes, left);
                    passed.extend_from_slice(taken);
                    bytes = rest;
                    if *left == 0 {
                        self.phase = Phase::Head(Vec::new());
                    }
                }
                Phase::ChunkSize(line) => {
                    line.push(*first);
                    passed.push(*first);
                    bytes = rest;
                    if line.len() > CHUNK_LINE_LEN_MAX {
                        return Err(Violation::Chunk);
                    }
                    if *first == b'\n' {
                        self.phase = match chunk_size(line).ok_or(Violation::Chunk)? {
                            0 => Phase::Trailers { line: Vec::new(), len: 0 },
                            size => Phase::ChunkData(size + 2),
                        };
                    }
                }
                // The line end behind the data is two bytes of their own, one by one.
                Phase::ChunkData(left @ 1..=2) => {
                    let wanted = if *left == 2 { b'\r' } else { b'\n' };
                    if *first != wanted {
                        return Err(Violation::Chunk);
                    }
                    passed.push(*first);
                    (bytes, *left) = (rest, *left - 1);
                    if *left == 0 {
                        self.phase = Phase::ChunkSize(Vec::new());
                    }
                }
                Phase::ChunkData(left) => {
                    let mut data = left.saturating_sub(2);
                    let (taken, rest) = split(bytes, &mut data);
                    passed.extend_from_slice(taken);
                    (bytes, *left) = (rest, data + 2);
                }
                Phase::Trailers { line, len } => {
                    passed.push(*first);
                    bytes = rest;
                    if trailer(line, len, *first)? {
                        self.phase = Phase::Head(Vec::new());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Takes a byte of the trailers; whether they have ended.
fn trailer(line: &mut Vec<u8>, len: &mut usize, byte: u8) -> Result<bool, Violation> {
    line.push(byte);
    *len += 1;
    if *len > TRAILERS_LEN_MAX {
        return Err(Violation::TooLong);
    }
    if byte != b'\n' {
        return Ok(false);
    }
    let whole = line.strip_suffix(b"\r\n").ok_or(Violation::LineEnd)?;
    if whole.is_empty() {
        return Ok(true);
    }
    header(whole)?;
    line.clear();
    Ok(false)
}

/// The first `left` of `bytes`, or all of them; `left` is what is left after them.
fn split<'b>(bytes: &'b [u8], left: &mut u64) -> (&'b [u8], &'b [u8]) {
    let len = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= len as u64;
    bytes.split_at_checked(len).unwrap_or((bytes, &[]))
}

/// The size that a chunk's line says; its extension is nobody's business.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"\r\n")?;
    let digits = line.split(|byte| *byte == b';').next()?;
    let is_size = (1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    let is_text = line.iter().all(|byte| (b' '..=b'~').contains(byte));
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_size && is_text)?;
    u64::from_str_radix(digits, 16).ok()
}

/// Judges a whole head, its empty line included, and tells how far its body goes.
fn judge(head: &[u8]) -> Result<Delimited, Violation> {
    let text = head.strip_suffix(b"\r\n\r\n").ok_or(Violation::LineEnd)?;
    let mut lines = Vec::with_capacity(16);
    for line in text.split(|byte| *byte == b'\n') {
        lines.push(line.strip_suffix(b"\r").unwrap_or(line));
    }
    // Each LF has its CR before it, and no CR stands elsewhere.
    let (ends, returns) = (count(text, b'\n'), count(text, b'\r'));
    if ends != returns || lines.iter().any(|line| line.contains(&b'\r')) || text.contains(&0) {
        return Err(Violation::LineEnd);
    }
    let (first, headers) = lines.split_first().ok_or(Violation::RequestLine)?;
    let (target, is_1_1) = request_line(first)?;
    let (mut hosts, mut lengths, mut encodings) = (Vec::new(), Vec::new(), Vec::new());
    for line in headers {
        let (name, value) = header(line)?;
        match name.as_str() {
            "host" => hosts.push(value),
            "content-length" => lengths.push(value),
            "transfer-encoding" => encodings.push(value),
            name if name.contains('_') && SENSITIVE.contains(&name.replace('_', "-").as_str()) => {
                return Err(Violation::HeaderName);
            }
            _ => {}
        }
    }
    match (hosts.as_slice(), is_1_1) {
        ([host], _) => same_host(target, host)?,
        ([], false) => {}
        _ => return Err(Violation::Host),
    }
    match (encodings.as_slice(), lengths.as_slice()) {
        ([], []) => Ok(Delimited::Length(0)),
        ([], [length]) => length_of(length).map(Delimited::Length).ok_or(Violation::Length),
        ([encoding], []) if is_1_1 && encoding.eq_ignore_ascii_case(b"chunked") => Ok(Delimited::Chunks),
        ([], _) => Err(Violation::Length),
        _ => Err(Violation::Encoding),
    }
}

fn count(bytes: &[u8], wanted: u8) -> usize {
    bytes.iter().filter(|byte| **byte == wanted).count()
}

/// Target and whether it is HTTP/1.1, of three words with one space between them.
fn request_line(line: &[u8]) -> Result<(&[u8], bool), Violation> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words[..] else { return Err(Violation::RequestLine) };
    let is_1_1 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        _ => return Err(Violation::RequestLine),
    };
    let is_method = !method.is_empty() && method.iter().all(u8::is_ascii_uppercase) && method != b"CONNECT";
    let is_target = !target.is_empty() && target.iter().all(u8::is_ascii_graphic);
    if is_method && is_target { Ok((target, is_1_1)) } else { Err(Violation::RequestLine) }
}

/// A header's name in lower case, and its value without the blanks around it.
fn header(line: &[u8]) -> Result<(String, &[u8]), Violation> {
    if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
        return Err(Violation::Folding);
    }
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Violation::HeaderName)?;
    let (name, value) = line.split_at_checked(colon).ok_or(Violation::HeaderName)?;
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if name.is_empty() || !name.iter().all(is_token) {
        return Err(Violation::HeaderName);
    }
    let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
    Ok((String::from_utf8_lossy(name).to_ascii_lowercase(), value))
}

/// A target with a host of its own must have the header's.
fn same_host(target: &[u8], host: &[u8]) -> Result<(), Violation> {
    if target.starts_with(b"/") || target == b"*" {
        return Ok(());
    }
    let target = target.to_ascii_lowercase();
    let rest = target.strip_prefix(b"http://").or_else(|| target.strip_prefix(b"https://"));
    let rest = rest.ok_or(Violation::Target)?;
    let authority = rest.split(|byte| matches!(byte, b'/' | b'?')).next().unwrap_or_default();
    if authority.eq_ignore_ascii_case(host) { Ok(()) } else { Err(Violation::Target) }
}

fn length_of(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok()
}

#[cfg(test)]
pub(super) mod tests;
