//! `tidewater completions` and `tidewater man`: what a shell and a reader of manuals want of the command line.

use crate::Error;
use crate::command::Command;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use std::io::Write;
use std::path::PathBuf;

/// Prints completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater completions bash > /etc/bash_completion.d/tidewater
  tidewater completions zsh > \"${fpath[1]}/_tidewater\"
  tidewater completions fish > ~/.config/fish/completions/tidewater.fish")]
pub(crate) struct Completions {
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes a manual page for each verb.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater man /usr/local/share/man/man1
  tidewater man . && man ./tidewater-send.1")]
pub(crate) struct Man {
    /// Where the pages go
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl Completions {
    pub(crate) fn execute(&self, out: &mut dyn Write) -> Result<(), Error> {
        // Into memory first: the generator ends the process if its reader has left.
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Command::command(), "tidewater", &mut text);
        out.write_all(&text)?;
        Ok(())
    }
}

impl Man {
    pub(crate) fn execute(&self, out: &mut dyn Write) -> Result<(), Error> {
        let failed = |error| Error::Usage(format!("{} cannot be written: {error}", self.dir.display()));
        std::fs::create_dir_all(&self.dir).map_err(failed)?;
        clap_mangen::generate_to(Command::command(), &self.dir).map_err(failed)?;
        writeln!(out, "the pages are in {}", self.dir.display())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_has_completions_that_know_the_verbs() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut out = Vec::new();
            Completions { shell }.execute(&mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(text.contains("standalone") && text.contains("replay"), "{shell}");
        }
    }

    #[test]
    fn every_verb_has_a_page() {
        let dir = std::env::temp_dir().join(format!("tidewater-man-{}", std::process::id()));
        Man { dir: dir.clone() }.execute(&mut Vec::new()).unwrap();
        for page in ["tidewater.1", "tidewater-send.1", "tidewater-dead-replay.1"] {
            assert!(dir.join(page).is_file(), "{page}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
