//! Every verb works on a directory, at work and at rest.

use crate::house::{House, raw, settled};
use schemas::topics;
use serde_json::Value;

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

#[tokio::test]
async fn what_is_sent_is_read_and_what_is_wrong_is_told_and_sent_again() {
    let mut house = House::new("verbs");
    let (worker, access) = house.up("10ms").await;
    let changes = concat!(
        r#"{"user_id":"ada","op":"upsert","set":{"name":"Ada","country":"gb"},"source":"crm"}"#,
        "\n\n",
        r#"{"user_id":"bob","op":"patch","set":{"email":"bob@example,org"}}"#,
        "\n{\"op\":\"delete\"}\nnot json\n",
        r#"{"user_id":"eve","op":"upsert","set":{"name":"Eve"}}"#,
        "\n",
        r#"{"user_id":"eve","op":"delete"}"#,
    );
    let output = house.tidewater(&["send", "--wait", "-"], changes);
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("line 4 was not sent") && words.contains("line 5 was not sent"), "{words}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "4 of 6 lines sent, and settled\n");

    let ada = json(&house.told(&["get", "ada"], ""));
    assert_eq!((&ada["profile"]["name"], &ada["profile"]["country"]), (&"Ada".into(), &"GB".into()));
    assert_eq!(ada["source"], "store");
    assert_eq!(json(&house.told(&["get", "ada"], ""))["source"], "cache", "the second time it is there");
    house.told(&["send", "--wait", "-"], r#"{"user_id":"ada","op":"patch","set":{"name":"Ada L."}}"#);
    let again = json(&house.told(&["get", "ada"], ""));
    assert_eq!(
        (&again["profile"]["name"], &again["source"]),
        (&"Ada L.".into(), &"store".into()),
        "and gone with a change"
    );
    assert_eq!(house.refused(&["get", "eve"], "").0, 1, "deleted");
    assert_eq!(house.refused(&["get", "nobody"], "").0, 1);

    let dead = house.told(&["dead", "list", "--json"], "");
    assert_eq!(json(&dead)["code"], "format-invalid", "{dead}");
    let edit = "sed 's/example,org/example.org/'";
    let foreseen = house.told(&["dead", "replay", "--all", "--edit", edit, "--dry-run", "--json"], "");
    assert!(foreseen.contains("changes"), "{foreseen}");
    house.told(&["dead", "replay", "--all", "--edit", edit], "");
    settled(&access).await;
    assert_eq!(json(&house.told(&["get", "bob"], ""))["profile"]["email"], "bob@example.org");

    let tail = house.told(&["tail", "--from", "START", "--limit", "3"], "");
    assert_eq!(tail.lines().filter(|line| json(line)["version"].is_i64()).count(), 3, "{tail}");
    let lag = house.told(&["lag", "--json"], "");
    assert!(json(&lag).as_array().unwrap().iter().all(|row| row["records"] == 0), "{lag}");
    let doctor = house.told(&["doctor"], "");
    assert!(doctor.contains("every sum in"), "{doctor}");
    let (code, words) = house.refused(&["rewind", "sink", "--to", "START"], "");
    assert!(code == 64 && words.contains("is at work"), "{words}");
    drop(access);
    assert_eq!(worker.leave().await, 0);
}

/// I2: read again from the start, every change gets the version it had, and the state is the same.
#[tokio::test]
async fn a_rewind_changes_nothing() {
    let mut house = House::new("rewind");
    let (worker, access) = house.up("10ms").await;
    for round in 0..20 {
        let items: Vec<_> = (0..30)
            .map(|user| raw(&format!("u{user}"), &format!(r#""op":"patch","set":{{"bio":"{round}"}}"#)))
            .collect();
        access.append(topics::RAW, &items).await.unwrap();
    }
    settled(&access).await;
    drop(access);
    assert_eq!(worker.leave().await, 0);
    let before = house.told(&["export"], "");
    for (group, to) in [("validate", &["7", "--partition", "3"][..]), ("validate", &["START"]), ("sink", &["START"])] {
        let moved = house.told(&[&["rewind", group, "--to"], to].concat(), "");
        assert!(moved.contains("moved in"), "{moved}");
    }
    let (worker, access) = house.up("10ms").await;
    settled(&access).await;
    assert_eq!(house.told(&["export"], ""), before);
    let verdict = house.verdict().await;
    assert!(verdict.holds() && verdict.changes == 600, "{verdict:?}");
    drop(access);
    assert_eq!(worker.leave().await, 0);
}

/// I3.
#[tokio::test]
async fn what_is_imported_never_wins_and_what_is_exported_comes_in_elsewhere() {
    let mut house = House::new("import");
    let (worker, access) = house.up("10ms").await;
    access.append(topics::RAW, &[raw("live", r#""op":"upsert","set":{"name":"Live"}"#)]).await.unwrap();
    let file = house.dir.join("users.csv");
    std::fs::write(&file, "user_id,name,updated_at\nlive,Old,2199-01-01T00:00:00Z\nold,Old,2020-01-01T00:00:00Z\n")
        .unwrap();
    let file = file.to_str().unwrap();
    for _ in 0..2 {
        house.told(&["import", file, "--late"], "");
    }
    settled(&access).await;
    assert_eq!(json(&house.told(&["get", "live"], ""))["profile"]["name"], "Live");
    // The floor of the tests is over 36 days ago: what lies below it may have been deleted and forgotten.
    let dead = house.told(&["dead", "list", "--json"], "");
    assert!(dead.lines().all(|line| json(line)["code"] == "change-too-old"), "{dead}");
    assert!(house.verdict().await.holds());
    drop(access);
    assert_eq!(worker.leave().await, 0);
}

/// At rest the log takes changes, and they are settled when somebody works on it.
#[tokio::test]
async fn a_directory_at_rest_takes_changes() {
    let mut house = House::new("rest");
    let (worker, access) = house.up("10ms").await;
    drop(access);
    assert_eq!(worker.leave().await, 0);
    let said = house.told(&["send", "-"], r#"{"user_id":"ada","op":"upsert","set":{"name":"Ada"}}"#);
    assert!(said.contains("nobody works on the directory"), "{said}");
    let (code, words) = house.refused(&["send", "--wait", "-"], r#"{"user_id":"bob","op":"delete"}"#);
    assert!(code == 64 && words.contains("run `tidewater standalone`"), "{words}");
    assert_eq!(house.refused(&["get", "ada"], "").0, 1);
    let (worker, access) = house.up("10ms").await;
    settled(&access).await;
    assert_eq!(json(&house.told(&["get", "ada"], ""))["profile"]["name"], "Ada");
    drop(access);
    assert_eq!(worker.leave().await, 0);
}

#[test]
fn the_demo_proves_itself() {
    let mut command = std::process::Command::new(tests::process::binary("tidewater"));
    let output = command.args(["demo", "--source", "generator", "--limit", "3000", "--clean"]).output().unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{words}");
    let result = json(String::from_utf8(output.stdout).unwrap().trim());
    assert_eq!((&result["lost"], &result["wrong"]), (&0.into(), &0.into()), "{result}");
    assert_eq!(result["changes"], 3_000, "{result}");
}
