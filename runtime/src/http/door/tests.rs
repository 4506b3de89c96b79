//! What a door does with clients that are slow, large, many or not clients at all, over raw sockets.

use super::super::body::BodyWatch;
use super::super::framing::tests::{BAD, BAD_CHUNKS};
use super::*;
use axum::routing::{get, post};
use http_body_util::BodyExt as _;
use std::io::Write as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);

/// Long enough for anything that is not a matter of limits.
const PATIENCE: Duration = Duration::from_secs(20);

/// More than sockets hold.
const LARGE: usize = 64 << 20;

struct House {
    address: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<()>,
    /// Lets one request to `/wait` go on.
    go: Arc<Notify>,
    metrics: DoorMetrics,
}

fn small() -> DoorLimits {
    DoorLimits {
        headers_within: 300 * MS,
        body_within: 300 * MS,
        request_within: 1_500 * MS,
        header_bytes_max: 8 << 10,
        body_bytes_max: 100 << 10,
        decoded_bytes_max: 1 << 20,
        decoded_ratio_max: 20,
        ..DoorLimits::default()
    }
}

/// Tells how long a body was, or why it did not come.
async fn measure(request: Request) -> (StatusCode, String) {
    let (parts, body) = request.into_parts();
    match body.collect().await {
        Ok(body) => (StatusCode::OK, body.to_bytes().len().to_string()),
        Err(_) => {
            let fault = parts.extensions.get::<BodyWatch>().and_then(BodyWatch::fault);
            (StatusCode::BAD_REQUEST, format!("{fault:?}"))
        }
    }
}

async fn open(limits: DoorLimits) -> House {
    let go = Arc::new(Notify::new());
    let waits = go.clone();
    let router = Router::new().route("/", post(measure).get(async || "here")).route(
        "/wait",
        get(async move || {
            waits.notified().await;
            "done"
        }),
    );
    let router = router.route("/large", get(async || vec![b'a'; LARGE]));
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let metrics = DoorMetrics::default();
    let door = Door::bind(&DoorConfig { listen, limits }, metrics.clone()).await.unwrap();
    let (address, stop) = (door.address(), CancellationToken::new());
    #[allow(clippy::disallowed_methods, reason = "a test waits for it itself")]
    let served = tokio::spawn(door.serve(router, stop.clone()));
    House { address, stop, served, go, metrics }
}

impl House {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Everything that comes back until the door closes.
    async fn say(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The door may close while it is being talked to.
        let _sent: io::Result<()> = stream.write_all(bytes).await;
        heard(&mut stream).await
    }

    async fn post(&self, headers: &str, body: &[u8]) -> String {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.say(&[head.as_bytes(), body].concat()).await
    }
}

async fn heard(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the door closes");
    // A door that closes on bytes it has not read resets the connection: what it had said counts.
    let _ended: io::Result<usize> = read;
    String::from_utf8_lossy(&bytes).into_owned()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn what_is_no_request_is_answered_400_once_and_nothing_behind_it_is_read() {
    let house = open(small()).await;
    for (bad, violation) in BAD {
        let behind = format!("{bad}GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = house.say(behind.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{violation:?}, {bad:?}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{bad:?}: {answer:?}");
        assert!(!answer.contains("here"), "{bad:?} let a second request in");
    }
    let good =
        house.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(good.matches("here").count(), 2, "two good ones are two: {good:?}");
    assert_eq!(house.metrics.refused.get(), BAD.len() as u64);
}

#[tokio::test]
async fn a_body_that_is_not_delimited_as_it_says_ends_the_connection() {
    let house = open(small()).await;
    for bad in BAD_CHUNKS {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = house.say(format!("{head}{bad}GET / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await;
        assert!(!answer.contains("200 OK") && !answer.contains("here"), "{bad:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_head_has_its_time_and_its_size() {
    let house = open(small()).await;
    let since = Instant::now();
    for slow in ["", "GET / HTTP/1.1\r\nHo"] {
        let answer = house.say(slow.as_bytes()).await;
        assert!(!answer.contains("200"), "{answer:?}");
    }
    assert!(since.elapsed() >= 550 * MS && since.elapsed() < 5_000 * MS, "{:?}", since.elapsed());
    let drip = async {
        let mut stream = house.connect().await;
        for letter in b"GET / HTTP/1.1\r\nHost: a\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
            if stream.write_all(&[*letter]).await.is_err() {
                break;
            }
            tokio::time::sleep(20 * MS).await;
        }
        heard(&mut stream).await
    };
    assert!(!drip.await.contains("200"), "progress does not help a head");
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(9_000));
    assert!(house.say(large.as_bytes()).await.starts_with("HTTP/1.1 400 "));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(70));
    assert!(house.say(many.as_bytes()).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn a_body_that_comes_to_a_halt_is_given_up_and_one_that_goes_on_is_not() {
    let house = open(small()).await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nab";
    assert!(house.say(head.as_bytes()).await.contains("TooSlow"));
    let mut stream = house.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    for letter in b"cde" {
        tokio::time::sleep(200 * MS).await;
        stream.write_all(&[*letter]).await.unwrap();
    }
    let answer = heard(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with('5'), "{answer:?}");
}

#[tokio::test]
async fn a_request_has_its_time_whatever_its_body_does() {
    let house = open(small()).await;
    let since = Instant::now();
    let answer = house.say(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request-timeout"), "{answer:?}");
    assert!(since.elapsed() >= 1_400 * MS && since.elapsed() < 10_000 * MS);
    let mut stream = house.connect().await;
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n").await.unwrap();
    for _ in 0..40 {
        if stream.write_all(b"a").await.is_err() {
            break;
        }
        tokio::time::sleep(50 * MS).await;
    }
    assert!(heard(&mut stream).await.starts_with("HTTP/1.1 408 "));
    assert_eq!(house.metrics.late.get(), 2);
}

#[tokio::test]
async fn a_body_is_no_larger_than_it_may_be_whether_it_says_so_or_not() {
    let house = open(small()).await;
    assert!(house.post("", &vec![b'a'; 100 << 10]).await.starts_with("HTTP/1.1 200 "));
    let told = house.say(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.1 413 ") && told.contains("application/problem+json"), "{told:?}");
    let chunk = format!("8000\r\n{}\r\n", "a".repeat(0x8000));
    let untold = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(4)
    );
    assert!(house.say(untold.as_bytes()).await.contains("TooLarge"));
}

#[tokio::test]
async fn an_encoded_body_becomes_no_larger_than_it_may() {
    let house = open(small()).await;
    let fine = house.post("Content-Encoding: gzip\r\n", &gzip(&vec![b'a'; 60_000])).await;
    assert!(fine.ends_with("60000"), "{fine:?}");
    let fine = house.post("Content-Encoding: zstd\r\n", &zstd::encode_all(&[b'a'; 60_000][..], 3).unwrap()).await;
    assert!(fine.ends_with("60000"), "{fine:?}");
    let noise = |number: u32| number.wrapping_mul(2_654_435_761).to_be_bytes();
    let random: Vec<u8> = (0..250_000).flat_map(noise).collect();
    for (encoding, bomb) in [
        ("gzip", gzip(&vec![0; 4 << 20])),
        ("zstd", zstd::encode_all(&vec![0; 4 << 20][..], 19).unwrap()),
        ("gzip", gzip(&random)),
    ] {
        let answer = house.post(&format!("Content-Encoding: {encoding}\r\n"), &bomb).await;
        assert!(
            answer.contains("Inflated") || answer.contains("TooLarge") || answer.contains("413"),
            "{encoding}: {answer:?}"
        );
    }
    let whole = gzip(&vec![b'a'; 60_000]);
    let cut = house.post("Content-Encoding: gzip\r\n", &whole[..whole.len() / 2]).await;
    assert!(cut.starts_with("HTTP/1.1 400 ") && cut.contains("None"), "a stump is nobody's limit: {cut:?}");
    let unknown = house.post("Content-Encoding: br\r\n", b"abc").await;
    assert!(unknown.starts_with("HTTP/1.1 415 "), "{unknown:?}");
}

#[tokio::test]
async fn connections_over_the_limit_wait_until_one_ends() {
    let house = open(DoorLimits { connections_max: 1, headers_within: PATIENCE, ..small() }).await;
    let first = house.connect().await;
    let mut second = house.connect().await;
    second.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut byte = [0];
    assert!(timeout(300 * MS, second.read(&mut byte)).await.is_err(), "nobody attends to it");
    drop(first);
    assert!(heard(&mut second).await.contains("here"));
}

#[tokio::test]
async fn a_request_that_finds_no_place_soon_is_shed_and_others_go_on() {
    let house = open(DoorLimits { requests_in_flight_max: 1, request_within: PATIENCE, ..small() }).await;
    let mut first = house.connect().await;
    first.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    tokio::time::sleep(100 * MS).await;
    let since = Instant::now();
    let shed = house.say(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(shed.starts_with("HTTP/1.1 503 ") && shed.to_lowercase().contains("retry-after: 1"), "{shed:?}");
    assert!(since.elapsed() < 2_000 * MS, "{:?}", since.elapsed());
    house.go.notify_one();
    assert!(heard(&mut first).await.ends_with("done"));
    assert!(house.say(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.ends_with("here"));
    assert_eq!(house.metrics.shed.get(), 1);
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_given_up() {
    let house = open(DoorLimits { headers_within: PATIENCE, request_within: PATIENCE, ..small() }).await;
    let mut deaf = house.connect().await;
    deaf.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(50 * MS).await;
    house.stop.cancel();
    timeout(PATIENCE, house.served).await.expect("it is not waited for").unwrap();
    let mut taken = Vec::new();
    let _cut: io::Result<usize> = deaf.read_to_end(&mut taken).await;
    assert!(taken.len() < LARGE, "{} bytes", taken.len());
}

#[tokio::test]
async fn a_door_that_closes_finishes_what_is_under_way_and_waits_for_no_idle_client() {
    let house = open(DoorLimits { headers_within: PATIENCE, request_within: PATIENCE, ..small() }).await;
    let mut idle = house.connect().await;
    let mut busy = house.connect().await;
    busy.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(100 * MS).await;
    house.stop.cancel();
    assert_eq!(heard(&mut idle).await, "", "it is let go");
    assert!(
        TcpStream::connect(house.address).await.is_err()
            || !house.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.contains("here")
    );
    assert!(!house.served.is_finished());
    house.go.notify_one();
    assert!(heard(&mut busy).await.ends_with("done"));
    timeout(PATIENCE, house.served).await.expect("it ends").unwrap();
}
