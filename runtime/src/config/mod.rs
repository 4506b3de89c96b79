//! What an operator can set: one TOML file, and `TIDEWATER__SECTION__KEY` in the environment, which wins.
//!
//! A module describes its section once, in [`Settings::read`]. From that one description come the typed value, all
//! problems at once (with their paths and what to do), `--print-config` and `docs/config.md`:
//!
//! ```
//! use runtime::config::{Section, Settings};
//! use std::time::Duration;
//!
//! struct Config { brokers: String, drain: Duration }
//!
//! impl Settings for Config {
//!     fn read(section: &mut Section<'_>) -> Self {
//!         Self {
//!             brokers: section.text("brokers", "Brokers to ask first.").required("no broker can be guessed"),
//!             drain: section.duration("drain", "Longest drain.").default(Duration::from_secs(3)),
//!         }
//!     }
//! }
//! ```

mod declaration;
mod given;
mod path;
mod print;
mod problem;
mod reader;
mod reference;
mod secret;
mod setting;
mod table;
mod value;

pub use declaration::Declarations;
pub use given::Given;
pub use path::KeyPath;
pub use problem::{Error, Place, Problem};
pub use reader::Section;
pub use reference::{reference, template};
pub use secret::Secret;
pub use setting::{FreeTable, SecretSetting, Setting};
pub use table::Table;
pub use value::{ByteSize, Choice, Count, Value};

use reader::Reader;

/// A section of the configuration as what it means.
pub trait Settings: Sized {
    /// Reads every option from `section`. What is missing or wrong is noted there and read as a stand-in, so that
    /// all problems are told at once; a value made of stand-ins is never handed out.
    fn read(section: &mut Section<'_>) -> Self;
}

/// A configuration without a problem, and where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded<C> {
    pub config: C,
    declarations: Declarations,
}

impl<C> Loaded<C> {
    /// The whole configuration as a file that reads as the same, with the source of each value. Secrets are left out.
    #[must_use]
    pub fn to_toml(&self) -> String {
        print::to_toml(&self.declarations)
    }
}

/// Reads what was written as `C`.
///
/// # Errors
/// With every problem there is: missing, of the wrong kind, out of bounds, contradictory, unknown.
pub fn load<C: Settings>(given: Given) -> Result<Loaded<C>, Error> {
    load_with(given, C::read)
}

/// [`load`] by a function, for a root that is not one type's alone.
pub(crate) fn load_with<C>(given: Given, read: impl FnOnce(&mut Section<'_>) -> C) -> Result<Loaded<C>, Error> {
    let mut reader = Reader::new(given);
    let config = read(&mut Section::root(&mut reader));
    let declarations = reader.finish()?;
    Ok(Loaded { config, declarations })
}

/// What `C` lets an operator set, for [`reference`].
#[must_use]
pub fn declarations<C: Settings>() -> Declarations {
    declarations_of(|section| drop(C::read(section)))
}

pub(crate) fn declarations_of(read: impl FnOnce(&mut Section<'_>)) -> Declarations {
    let mut reader = Reader::reference();
    read(&mut Section::root(&mut reader));
    reader.into_declarations()
}

#[cfg(test)]
mod tests;
