//! The command that puts a refused change right: the change as JSON in, the corrected one out.

use super::tally::Left;
use crate::Error;
use bytes::Bytes;
use serde_json::{Map, Value};
use std::process::Stdio;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

/// More than any topic takes.
const OUTPUT_BYTES_MAX: u64 = 4 << 20;

/// What a shell says of a command that it cannot run.
const NOT_RUN: [i32; 2] = [126, 127];

/// A shell command.
#[derive(Debug)]
pub(super) struct Editor {
    command: String,
}

/// A change as the command wrote it. Holds user data, so it has no `Debug`.
pub(super) struct Edited {
    /// `None` deletes the user of the key, as the letter did.
    pub(super) value: Option<Bytes>,
    /// What the value says; the key must be the same.
    pub(super) user_id: Option<String>,
}

impl Editor {
    pub(super) fn new(command: &str) -> Self {
        Self { command: command.to_owned() }
    }

    /// Runs the command over one change. What it says on its standard error is shown as it comes.
    ///
    /// # Errors
    /// Outer: the command cannot be run at all. Inner: it failed over this change, or wrote no change.
    pub(super) async fn run(&self, change: &[u8]) -> Result<Result<Edited, Left>, Error> {
        let mut child = Command::new("sh")
            .args(["-c", &self.command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Error::Failed(format!("no shell can be started for --edit: {error}")))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let write = async {
            if let Some(mut stdin) = stdin {
                // A command that does not read to the end has closed its side, which is its own affair.
                stdin.write_all(change).await.ok();
            }
        };
        let mut output = Vec::new();
        let read = async {
            match stdout {
                Some(stdout) => stdout.take(OUTPUT_BYTES_MAX).read_to_end(&mut output).await.map(drop),
                None => Ok(()),
            }
        };
        let ((), read) = tokio::join!(write, read);
        // What is behind the limit nobody reads: the command must not wait for that.
        let status = if output.len() as u64 >= OUTPUT_BYTES_MAX { None } else { child.wait().await.ok() };
        match status.and_then(|status| status.code()) {
            Some(code) if NOT_RUN.contains(&code) => Err(Error::Usage(format!(
                "the --edit command cannot be run (its shell ends with {code}): try it by hand over what `tidewater dead \
                 show LETTER --value` shows"
            ))),
            Some(0) if read.is_ok() => Ok(edited(&output)),
            _ => Ok(Err(Left::EditFailed)),
        }
    }
}

/// `null`, or one JSON object.
fn edited(output: &[u8]) -> Result<Edited, Left> {
    let text = output.trim_ascii();
    if text == b"null" {
        return Ok(Edited { value: None, user_id: None });
    }
    let object: Map<String, Value> = serde_json::from_slice(text).map_err(|_| Left::EditFailed)?;
    let user_id = object.get("user_id").and_then(Value::as_str).map(str::to_owned);
    Ok(Edited { value: Some(Bytes::copy_from_slice(text)), user_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(command: &str, change: &str) -> Result<Option<String>, Left> {
        let edited = Editor::new(command).run(change.as_bytes()).await.unwrap()?;
        Ok(edited.value.map(|value| String::from_utf8(value.to_vec()).unwrap()))
    }

    #[tokio::test]
    async fn a_command_reads_a_change_and_writes_it_corrected() {
        let change = r#"{"user_id":"ada","op":"patch"}"#;
        assert_eq!(run("cat", change).await, Ok(Some(change.to_owned())));
        assert_eq!(run("sed s/ada/eve/", change).await, Ok(Some(change.replace("ada", "eve"))));
        let edited = Editor::new("cat").run(change.as_bytes()).await.unwrap().ok().unwrap();
        assert_eq!(edited.user_id.as_deref(), Some("ada"));
        assert_eq!(run("cat; echo", "null").await, Ok(None), "a delete stays one");
        assert_eq!(run("echo '{}'", &"x".repeat(1 << 20)).await, Ok(Some("{}".to_owned())), "it need not read");
    }

    #[tokio::test]
    async fn what_fails_or_writes_no_change_is_left() {
        for command in ["false", "true", "echo '[]'", "echo '{} {}'", "cat; exit 3", "kill -9 $$", "yes"] {
            assert_eq!(run(command, "{}").await, Err(Left::EditFailed), "{command}");
        }
    }

    #[tokio::test]
    async fn a_command_that_is_not_there_is_told_once_and_not_for_each_letter() {
        let refused = Editor::new("no-such-command-anywhere 2>/dev/null").run(b"{}").await;
        assert_eq!(refused.err().unwrap().exit_code(), 64);
    }
}
