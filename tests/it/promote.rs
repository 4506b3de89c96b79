//! A data directory moves to servers, and everybody is there as he was.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tests::installation::Installation;
use tests::process::{ANYWHERE, Worker, binary};
use tests::stack::Stack;
use tests::until;

const WITHIN: Duration = Duration::from_secs(60);

fn tidewater(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(binary("tidewater"));
    let mut child =
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn told(arguments: &[&str], input: &str) -> String {
    let output = tidewater(arguments, input);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {words}");
    String::from_utf8(output.stdout).unwrap()
}

/// A directory with users of every kind: made by upserts and by patches, changed, cleared, deleted, and made again.
async fn directory(home: &Installation) -> PathBuf {
    let data = home.dir().join("data");
    let arguments = ["standalone", "--data", data.to_str().unwrap()];
    let log = home.dir().join("standalone.log");
    let mut worker = Worker::start_as("standalone", "tidewater", &arguments, log, &ANYWHERE);
    worker.ready().await;
    let mut changes = String::new();
    for user in 0..300 {
        let id = format!("{}-{user}", home.name());
        let set = format!(r#""set":{{"name":"n{user}","country":"de","email":"u{user}@example.org"}}"#);
        changes.push_str(&format!("{{\"user_id\":\"{id}\",\"op\":\"upsert\",{set}}}\n"));
        match user % 5 {
            0 => changes.push_str(&format!("{{\"user_id\":\"{id}\",\"op\":\"patch\",\"unset\":[\"country\"]}}\n")),
            1 => changes.push_str(&format!("{{\"user_id\":\"{id}\",\"op\":\"delete\"}}\n")),
            2 => changes.push_str(&format!(
                "{{\"user_id\":\"{id}\",\"op\":\"delete\"}}\n{{\"user_id\":\"{id}\",\"op\":\"upsert\",\"set\":{{\"bio\":\"again\"}}}}\n"
            )),
            3 => changes.push_str(&format!("{{\"user_id\":\"{id}-p\",\"op\":\"patch\",\"set\":{{\"bio\":\"b\"}}}}\n")),
            _ => {}
        }
    }
    let data_text = data.to_str().unwrap();
    told(&["send", "--data", data_text, "--wait", "-"], &changes);
    let refused = tidewater(&["promote", "--data", data_text, "--to", config(home).to_str().unwrap()], "");
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(64) && words.contains("is at work"), "{words}");
    assert_eq!(worker.leave().await, 0);
    data
}

fn config(home: &Installation) -> PathBuf {
    home.dir().join("tidewater.toml")
}

fn set_floor(home: &Installation, floor: &str) {
    let text = fs::read_to_string(config(home)).unwrap();
    let lines = text.lines().map(|line| match line.starts_with("floor = ") {
        true => format!("floor = {floor}"),
        false => line.to_owned(),
    });
    fs::write(config(home), lines.collect::<Vec<_>>().join("\n")).unwrap();
}

#[tokio::test]
async fn a_directory_moves_to_servers_and_everybody_is_there_as_he_was() {
    let home = Installation::build(&Stack::of_run(), "promoted").await;
    let data = directory(&home).await;
    let (data, config) = (data.to_str().unwrap(), config(&home));
    let arguments = ["promote", "--data", data, "--to", config.to_str().unwrap(), "--rate", "0"];
    // The floor of the tests is years ago: what is moved would not lie below it.
    let refused = tidewater(&arguments, "");
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(64), "{words}");
    let floor = words.split("set it to ").nth(1).unwrap().split(',').next().unwrap();
    set_floor(&home, floor);
    let mut path = home.start_path();
    for worker in &mut path {
        worker.ready().await;
    }
    // Twice is once.
    for _ in 0..2 {
        assert_eq!(told(&arguments, ""), "300 profiles and 60 stubs of deleted users moved; 0 differ\n");
    }
    let rows = home.rows().await;
    assert_eq!(rows.len(), 360);
    // Whatever comes live beats what was moved, and is told.
    let live = format!("{}-4", home.name());
    home.feed(schemas::topics::RAW).change(&live, r#""op": "patch", "set": {"name": "Live"}"#).await;
    until("the live change", WITHIN, async || {
        let row = home.row(&live).await;
        (home.text(&row, "name") == Some("Live")).then_some(())
    })
    .await;
    let output = tidewater(&arguments, "");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("1 differ"), "{said}");
    assert!(!fs::exists(home.dir().join("data/promote.ndjson")).unwrap(), "the lines are user data, and gone");
}
