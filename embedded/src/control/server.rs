//! Answers others on a socket in the directory.

use super::answer::{Standing, answer};
use super::request::Outcome;
use super::wire::{Message, receive, send};
use crate::error::Error;
use crate::home::Home;
use runtime::logs::chain;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Who asks more at once waits.
const CALLERS_MAX: usize = 64;

/// After one that could not be let in, as when descriptors are short.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// Answers until `stop`.
///
/// # Errors
/// If the socket cannot be made.
pub async fn serve(home: Home, stop: CancellationToken) -> Result<(), Error> {
    let path = Home::control_of(home.dir());
    // Left by a process that was killed; nobody else has the directory now.
    match fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io(&path, "removed", error)),
    }
    let listener = UnixListener::bind(&path).map_err(|error| Error::io(&path, "listened on", error))?;
    let own = fs::set_permissions(&path, fs::Permissions::from_mode(0o600));
    own.map_err(|error| Error::io(&path, "kept to its owner", error))?;
    let mut callers = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept(), if callers.len() < CALLERS_MAX => match accepted {
                Ok((stream, _)) => {
                    callers.spawn(attend(home.clone(), stream));
                }
                Err(error) => {
                    debug!(error = %error, "a caller could not be let in");
                    tokio::time::sleep(REFUSED_PAUSE).await;
                }
            },
            Some(_) = callers.join_next(), if !callers.is_empty() => {}
        }
    }
    fs::remove_file(&path).ok();
    Ok(())
}

/// One caller, question by question. One that says what is not understood is left.
async fn attend(home: Home, mut stream: UnixStream) {
    loop {
        let request = match receive(&mut stream).await {
            Ok(Some(request)) => request,
            Ok(None) | Err(_) => return,
        };
        let outcome = match answer(&home, Standing::AtWork, request).await {
            Ok(Message { head, body }) => Message::new(&Outcome::Done(head), body),
            Err(error) => Message::of(&Outcome::Failed { text: chain(&error).to_string(), is_usage: error.is_usage() }),
        };
        let Ok(answered) = outcome else { return };
        if send(&mut stream, &answered).await.is_err() {
            return;
        }
    }
}
