//! Keeps the present change schema in `avro/history/`, under its fingerprint. Run after every change of a schema.

use schemas::profile::{CHANGE, ChangeSchema, PROFILE};
use std::error::Error;
use std::fs;
use std::path::Path;

#[expect(clippy::print_stderr, reason = "it is a command")]
fn main() -> Result<(), Box<dyn Error>> {
    let schema = ChangeSchema::splice(CHANGE, PROFILE)?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("avro/history/{}.avsc", schema.fingerprint));
    if file.exists() {
        eprintln!("{} is there already", file.display());
        return Ok(());
    }
    fs::write(&file, schema.text.as_bytes())?;
    eprintln!("{} is new: commit it with the change of the schema", file.display());
    Ok(())
}
