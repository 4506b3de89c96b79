//! Short texts that others hand back to us: what was committed with an offset, and the values of headers.

use crate::engine::Target;
use processors::validate::Fold;
use runtime::fault::Fault;
use runtime::stage::Mark as _;
use schemas::{Origin, RejectCode, Version, facts, headers};
use tests::history::Random;

const FLOOR: i64 = 1_700_000_000_000_000;

/// Commit metadata, and the values of our headers.
pub(crate) struct Commits {
    fold: Fold,
    first: String,
}

impl Commits {
    pub(crate) fn new() -> Self {
        let fold = Fold::new(FLOOR);
        let first = fold.first();
        Self { fold, first }
    }

    fn mark(&self, text: &str) -> &'static str {
        match self.fold.resume(text) {
            Ok(mark) => {
                assert_eq!(self.fold.resume(&self.fold.metadata(mark)).ok(), Some(mark));
                "mark"
            }
            Err(Fault::Fatal { cause, .. }) => {
                let said = cause.to_string();
                assert!(said.len() < 400 && !said.contains('\n'), "{said}");
                if said.contains("version.floor") { "another floor" } else { "no mark" }
            }
            Err(Fault::Transient(cause)) => panic!("waiting does not mend a commit: {cause}"),
        }
    }
}

fn integer(text: &[u8]) -> &'static str {
    match headers::integer(text) {
        Some(number) => {
            assert_eq!(number.to_string().as_bytes(), text, "an integer has one form");
            Version::new(number).map_or("integer", |version| {
                assert_eq!(Version::at(version.place(), version.lane()), Some(version));
                "version"
            })
        }
        None => "no integer",
    }
}

fn instant(text: &[u8]) -> &'static str {
    let Some(micros) = headers::instant(text) else { return "no instant" };
    assert_eq!(headers::instant(headers::format_instant(micros).as_bytes()), Some(micros));
    "instant"
}

fn origin(text: &[u8]) -> &'static str {
    let Some(origin) = facts::origin_of(text) else { return "no origin" };
    let again: Origin = origin.to_string().parse().unwrap();
    assert_eq!(again, origin);
    assert!(origin.to_string().is_ascii(), "an origin is a header");
    if origin.raw().is_some() { "receipt" } else { "origin" }
}

impl Target for Commits {
    const NAME: &'static str = "commits";
    const MEMORY: (u64, u64) = (1 << 16, 32);

    fn fresh(&self, random: &mut Random) -> Vec<u8> {
        let number = random.number() >> random.below(64);
        match random.below(5) {
            0 => self.first.clone(),
            1 => format!("v1:{number}:{FLOOR}"),
            2 => format!("changes.raw.v1/{}/{number}", number % 100),
            3 => format!("2026-11-22T10:00:{:02}.{}Z", number % 62, number % 1_000_000),
            _ => number.to_string(),
        }
        .into_bytes()
    }

    fn words(&self) -> Vec<&[u8]> {
        let words = [
            "v1",
            ":",
            "-",
            "+",
            "/",
            "changes.raw.v1",
            "1700000000000000",
            "9223372036854775807",
            "-9223372036854775808",
            "18446744073709551615",
            "Z",
            "T",
            "+00:00",
            "-009999-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999999Z",
            "[u-ca=iso8601]",
            "\u{661}",
            "undecodable",
        ];
        words.iter().map(|word| word.as_bytes()).collect()
    }

    fn run(&self, input: &[u8]) -> String {
        let mark = std::str::from_utf8(input).map_or("no text", |text| {
            let told = headers::text(text);
            assert!(told.len() <= headers::TEXT_LEN_MAX && told.bytes().all(|byte| (b' '..0x7f).contains(&byte)));
            self.mark(text)
        });
        let is_code = RejectCode::ALL.iter().any(|code| code.as_str().as_bytes() == input);
        format!("{mark}, {}, {}, {}, {is_code}", integer(input), instant(input), origin(input))
    }
}
