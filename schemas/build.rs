//! Compiles `avro/history/` in: a kept schema is added by adding its file.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("avro/history");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        names.push(entry?.file_name().into_string().map_err(|name| format!("{}: not text", name.display()))?);
    }
    names.sort_unstable();
    let mut table = String::from("&[\n");
    for name in names.iter().filter(|name| name.ends_with(".avsc")) {
        // By the place of the package at the time of compiling: a build that is kept may outlive the folder it was made in.
        writeln!(
            table,
            "    ({name:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/avro/history/{name}\"))),"
        )?;
    }
    table.push_str("]\n");
    let out = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    fs::write(Path::new(&out).join("history.rs"), table)?;
    println!("cargo::rerun-if-changed=avro/history");
    Ok(())
}
