//! Bad days: a directory that is another's, newer, damaged, half made, not ours to write, or on a full disk.

use crate::house::{House, WITHIN, raw, settled};
use schemas::topics;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use tests::process::{ANYWHERE, Worker, binary};
use tests::until;

/// Exit code and last words of a start that must not go well.
async fn refused(mut worker: Worker) -> (i32, String) {
    let code = worker.exit().await;
    (code, worker.log())
}

async fn a_little_life(house: &mut House) {
    let (worker, access) = house.up("always").await;
    let items: Vec<_> = (0..50).map(|user| raw(&format!("u{user}"), r#""op":"upsert","set":{"name":"Ada"}"#)).collect();
    access.append(topics::RAW, &items).await.unwrap();
    settled(&access).await;
    drop(access);
    assert_eq!(worker.leave().await, 0);
}

#[tokio::test]
async fn two_processes_never_have_one_directory() {
    let mut house = House::new("two");
    let (worker, access) = house.up("10ms").await;
    let (code, words) = refused(house.start("10ms")).await;
    assert_eq!(code, 64, "{words}");
    assert!(words.contains(&format!("is in use by process {}", worker.pid())), "{words}");
    access.append(topics::RAW, &[raw("ada", r#""op":"delete""#)]).await.unwrap();
    settled(&access).await;
    drop(access);
    assert_eq!(worker.leave().await, 0);
    // And nobody has it any more.
    a_little_life(&mut house).await;
}

#[tokio::test]
async fn a_directory_that_is_not_ours_is_left_as_it_is() {
    let mut house = House::new("foreign");
    fs::create_dir_all(house.data()).unwrap();
    fs::write(house.data().join("thesis.txt"), "three years of work").unwrap();
    let (code, words) = refused(house.start("10ms")).await;
    assert_eq!(code, 64, "{words}");
    assert!(words.contains("is no data directory and not empty"), "{words}");
    assert_eq!(fs::read_dir(house.data()).unwrap().count(), 1);
    let (code, words) = house.refused(&["lag"], "");
    assert!(code == 64 && words.contains("no data directory"), "{words}");
}

#[tokio::test]
async fn a_newer_layout_is_refused_with_what_to_do() {
    let mut house = House::new("newer");
    a_little_life(&mut house).await;
    let file = house.data().join("tidewater.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"layout\":1", "\"layout\":2")).unwrap();
    let (code, words) = refused(house.start("10ms")).await;
    assert_eq!(code, 64, "{words}");
    assert!(words.contains("says layout 2, and this release knows 1: start the release that made it"), "{words}");
    fs::write(&file, "{\"layout\":").unwrap();
    let (code, words) = refused(house.start("10ms")).await;
    assert!(code == 70 && words.contains("tidewater.json"), "{code}: {words}");
    fs::write(&file, text).unwrap();
    a_little_life(&mut house).await;
}

#[tokio::test]
async fn another_number_of_partitions_or_floor_is_refused() {
    let mut house = House::new("differs");
    a_little_life(&mut house).await;
    for (setting, value) in
        [("TIDEWATER__STANDALONE__PARTITIONS", "5"), ("TIDEWATER__VERSION__FLOOR", "2025-01-01T00:00:00Z")]
    {
        let mut command = Command::new(binary("tidewater"));
        command.args(["standalone", "--data"]).arg(house.data()).env(setting, value);
        let output = command.envs(ANYWHERE).output().unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{words}");
        assert!(words.contains("this cannot be changed"), "{words}");
    }
}

/// I23 on the whole process: whatever byte of the log is flipped, it does not start, and says which file.
#[tokio::test]
async fn a_damaged_log_ends_the_start_and_names_the_file() {
    let mut house = House::new("damaged");
    a_little_life(&mut house).await;
    let file = house.data().join("log").join(topics::RAW).join("00000000000000000000.seg");
    let whole = fs::read(&file).unwrap();
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let (code, words) = refused(house.start("10ms")).await;
    assert_eq!(code, 70, "{words}");
    assert!(words.contains("00000000000000000000.seg is damaged at byte"), "{words}");
    let (code, words) = house.refused(&["doctor"], "");
    assert!(code == 70 && words.contains("is damaged at byte"), "{code}: {words}");
    // A torn end heals.
    let torn = [&whole[..], b"TWF1\x40\0\0\0half a frame"].concat();
    fs::write(&file, torn).unwrap();
    a_little_life(&mut house).await;
    assert!(house.verdict().await.holds());
}

#[tokio::test]
async fn a_lost_table_is_built_again_from_the_log() {
    let mut house = House::new("rebuilt");
    a_little_life(&mut house).await;
    let before = house.told(&["export"], "");
    fs::rename(house.data().join("table"), house.dir.join("moved-away")).unwrap();
    a_little_life(&mut house).await;
    assert_eq!(house.told(&["export"], "").lines().count(), before.lines().count());
    assert!(house.verdict().await.holds());
}

#[tokio::test]
async fn a_directory_without_permission_is_named() {
    let mut house = House::new("forbidden");
    a_little_life(&mut house).await;
    // Root may do anything, so somebody else tries.
    let nobody = Command::new("setpriv").args(["--reuid", "65534", "--clear-groups", "true"]).status();
    let as_nobody = nobody.is_ok_and(|status| status.success());
    let parents = house.dir.ancestors().take_while(|dir| dir.starts_with(std::env::temp_dir()));
    for dir in parents.collect::<Vec<_>>() {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).ok();
    }
    let mode = if as_nobody { 0o755 } else { 0o555 };
    fs::set_permissions(house.data(), fs::Permissions::from_mode(mode)).unwrap();
    let program = house.dir.join("tidewater");
    fs::copy(binary("tidewater"), &program).unwrap();
    let mut command = if as_nobody {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--clear-groups"]).arg(&program);
        command
    } else {
        Command::new(&program)
    };
    command.args(["standalone", "--data"]).arg(house.data()).envs(ANYWHERE);
    let output = command.output().unwrap();
    fs::set_permissions(house.data(), fs::Permissions::from_mode(0o755)).unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(matches!(output.status.code(), Some(64 | 70)), "{words}");
    assert!(words.contains("Permission denied") && words.contains("lock"), "{words}");
}

/// A disk that is filled and freed again.
struct Disk {
    dir: std::path::PathBuf,
}

impl Disk {
    fn new(house: &mut House, mebibytes: u32) -> Self {
        let dir = house.dir.join("disk");
        fs::create_dir_all(&dir).unwrap();
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tidewater"]).arg(&dir).output();
        let mounted = mounted.expect("mount is there");
        assert!(
            mounted.status.success(),
            "a small disk cannot be made here ({}): run the tests as root, or in `unshare -rm`",
            String::from_utf8_lossy(&mounted.stderr).trim()
        );
        house.move_to(dir.join("data"));
        Self { dir }
    }

    /// To the last byte.
    fn fill(&self) {
        let mut file = fs::File::create(self.dir.join("ballast")).unwrap();
        let mut len = 1 << 20;
        while len > 0 {
            if std::io::Write::write_all(&mut file, &vec![0; len]).is_err() {
                len /= 2;
            }
        }
    }

    fn free(&self) {
        fs::remove_file(self.dir.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.dir).status().ok();
    }
}

fn item(number: u64) -> runtime::record::Outgoing {
    raw(&format!("u{}", number % 30), &format!(r#""op":"upsert","set":{{"bio":"{}"}}"#, "x".repeat(400)))
}

/// What the pipeline itself fills: it stops taking, settles what it has, and goes on when there is room.
#[tokio::test]
async fn a_full_disk_is_waited_for_and_loses_nothing() {
    let mut house = House::new("full");
    let disk = Disk::new(&mut house, 256);
    let (worker, access) = house.up("always").await;
    let mut acked = 0_u64;
    for round in 0..3_u64 {
        access.append(topics::RAW, &[item(round)]).await.unwrap();
        acked += 1;
        fs::write(disk.dir.join("ballast"), vec![0; 132 << 20]).unwrap();
        let mut refused = 0;
        for number in 0..200 {
            match access.append(topics::RAW, &[item(number), item(number + 1), item(number + 2)]).await {
                Ok(_) => acked += 3,
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().contains("is full: make room"), "{error}");
                }
            }
        }
        assert!(refused > 0, "the disk was never full");
        disk.free();
        access.append(topics::RAW, &[item(9)]).await.unwrap();
        acked += 1;
    }
    settled(&access).await;
    let verdict = house.verdict().await;
    assert!(verdict.holds() && verdict.changes == acked, "{acked} acknowledged: {verdict:?}");
    drop(access);
    assert_eq!(worker.leave().await, 0);
}

/// What others fill to the last byte: it may end, and then with 70 and a word; nothing that was acknowledged is lost.
#[tokio::test]
async fn a_disk_that_others_fill_to_the_last_byte_loses_nothing() {
    let mut house = House::new("filled");
    let disk = Disk::new(&mut house, 256);
    let mut acked = 0_u64;
    for round in 0..3_u64 {
        let (mut worker, access) = house.up("always").await;
        for number in 0..200 {
            if number == 50 {
                disk.fill();
            }
            if access.append(topics::RAW, &[item(number), item(number + round)]).await.is_ok() {
                acked += 2;
            }
        }
        disk.free();
        drop(access);
        if worker.is_running() {
            assert_eq!(worker.leave().await, 0);
        } else {
            let code = worker.exit().await;
            assert!(code == 70 && worker.log().contains("takes no more: see to the disk"), "{code}: {}", worker.log());
        }
    }
    let (worker, access) = house.up("always").await;
    settled(&access).await;
    let verdict = house.verdict().await;
    assert!(verdict.holds() && verdict.changes == acked, "{acked} acknowledged: {verdict:?}");
    drop(access);
    assert_eq!(worker.leave().await, 0);
}

#[tokio::test]
async fn a_socket_that_was_left_behind_is_in_nobodys_way() {
    let mut house = House::new("socket");
    let (worker, access) = house.up("10ms").await;
    drop(access);
    worker.kill();
    until("the lock to be free", WITHIN, async || house.tidewater(&["lag"], "").status.success().then_some(())).await;
    a_little_life(&mut house).await;
}
