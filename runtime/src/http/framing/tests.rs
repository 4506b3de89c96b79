//! Which bytes are requests, and which two readers could take for different ones.

use super::*;
use proptest::prelude::*;

const GOOD: [&str; 9] = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "POST / HTTP/1.1\r\nhost:a\r\nContent-Length: 4\r\n\r\nabcd",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n1;name=value\r\n!\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n",
    "GET http://a/path HTTP/1.1\r\nHost: A\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\nX-Empty:\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n\r\n\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX-Odd_Name: ä\r\n\r\n",
];

pub(in crate::http) const BAD: [(&str, Violation); 35] = [
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Violation::Encoding,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        Violation::Encoding,
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", Violation::Length),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", Violation::Length),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\nabcd", Violation::Length),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd", Violation::Length),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", Violation::Length),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\nabcd", Violation::Length),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", Violation::Length),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", Violation::Length),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", Violation::Folding),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\tfolded\r\n\r\n", Violation::Folding),
    ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Violation::Folding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", Violation::Encoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", Violation::Encoding),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Violation::Encoding),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Violation::Encoding,
    ),
    ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Violation::Encoding),
    ("POST / HTTP/1.1\nHost: a\nContent-Length: 0\n\n", Violation::LineEnd),
    ("GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", Violation::LineEnd),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n", Violation::LineEnd),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\n\r\n", Violation::LineEnd),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", Violation::LineEnd),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\nabcd", Violation::HeaderName),
    ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", Violation::HeaderName),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 4\r\n\r\n", Violation::HeaderName),
    ("GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded-For: b\r\n\r\n", Violation::HeaderName),
    ("GET / HTTP/1.1\r\n\r\n", Violation::Host),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Violation::Host),
    ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", Violation::Target),
    ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Violation::Target),
    ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Violation::RequestLine),
    ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", Violation::RequestLine),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Violation::RequestLine),
    ("\r\n\r\n", Violation::RequestLine),
];

pub(in crate::http) const BAD_CHUNKS: [&str; 8] = [
    "+4\r\nabcd\r\n",
    "4\nabcd\r\n",
    "4\r\nabcde\r\n",
    "0x4\r\nabcd\r\n",
    "\r\n",
    "123456789\r\n",
    "4 \r\nabcd\r\n",
    "4;\x01\r\n",
];

fn feed(bytes: &[u8], cut: usize) -> (Framing, Vec<u8>, Result<(), Violation>) {
    let (mut framing, mut passed) = (Framing::new(16 * 1024), Vec::new());
    for piece in bytes.chunks(cut.max(1)) {
        if let Err(violation) = framing.feed(piece, &mut passed) {
            return (framing, passed, Err(violation));
        }
    }
    (framing, passed, Ok(()))
}

/// Whether it stands where a head begins.
fn is_between(framing: &Framing) -> bool {
    matches!(&framing.phase, Phase::Head(held) if held.is_empty())
}

#[test]
fn a_request_passes_byte_for_byte_and_the_next_is_found_behind_it() {
    for good in GOOD {
        for cut in [1, 2, 3, 1_000] {
            let (framing, passed, outcome) = feed(good.as_bytes(), cut);
            assert_eq!(outcome, Ok(()), "{good:?}");
            assert_eq!(passed, good.as_bytes());
            assert!(is_between(&framing), "{good:?} has its end where it is");
        }
    }
}

#[test]
fn what_two_readers_could_take_for_different_requests_goes_no_further() {
    for (bad, violation) in BAD {
        for cut in [1, 7, 1_000] {
            let (_, passed, outcome) = feed(bad.as_bytes(), cut);
            assert_eq!(outcome, Err(violation), "{bad:?}");
            assert!(passed.is_empty(), "nothing of {bad:?} is seen");
            let after = [GOOD[2], bad].concat();
            let (_, passed, outcome) = feed(after.as_bytes(), cut);
            assert_eq!((outcome, passed.as_slice()), (Err(violation), GOOD[2].as_bytes()), "behind a good one");
        }
    }
}

#[test]
fn a_chunk_that_is_not_delimited_as_it_says_goes_no_further() {
    for bad in BAD_CHUNKS {
        let text = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{bad}");
        assert_eq!(feed(text.as_bytes(), 1).2, Err(Violation::Chunk), "{bad:?}");
    }
    let endless = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4;{}", "a".repeat(20_000));
    assert_eq!(feed(endless.as_bytes(), 100).2, Err(Violation::Chunk));
    let trailers =
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{}", "x: y\r\n".repeat(1_000));
    assert_eq!(feed(trailers.as_bytes(), 100).2, Err(Violation::TooLong));
}

#[test]
fn a_head_without_an_end_is_held_only_so_long() {
    let endless = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(20_000));
    let (_, passed, outcome) = feed(endless.as_bytes(), 1_000);
    assert_eq!((outcome, passed.len()), (Err(Violation::TooLong), 0));
}

proptest! {
    #[test]
    fn how_a_connection_is_cut_changes_nothing(
        order in prop::collection::vec(0..GOOD.len(), 0..5), bad in 0..BAD.len(), cut in 1..40_usize,
    ) {
        let mut bytes: Vec<u8> = order.iter().flat_map(|at| GOOD[*at].bytes()).collect();
        bytes.extend_from_slice(BAD[bad].0.as_bytes());
        let (_, whole, outcome) = feed(&bytes, bytes.len());
        let (_, passed, cut_outcome) = feed(&bytes, cut);
        prop_assert_eq!(&passed, &whole);
        prop_assert_eq!(cut_outcome, outcome);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 1..40_usize) {
        let (_, passed, _) = feed(&bytes, cut);
        prop_assert!(bytes.starts_with(&passed));
    }
}
