use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn serving() -> (SocketAddr, Health, CancellationToken, JoinSet<()>) {
    let config = Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)) };
    let health = Health::new();
    let telemetry = Telemetry::new("sink").unwrap();
    telemetry.counter("records_in", "Records admitted.").add(3);
    let server = Server::bind(&config, health.clone(), telemetry).await.unwrap();
    let address = server.address();
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(server.serve(stop.clone()));
    (address, health, stop, tasks)
}

async fn ask(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn port_zero_becomes_a_real_one() {
    let (address, _health, _stop, _tasks) = serving().await;
    assert_ne!(address.port(), 0);
}

#[tokio::test]
async fn the_probes_answer_by_status_and_tell_why() {
    let (address, health, _stop, _tasks) = serving().await;
    let cassandra = health.condition("cassandra", "connecting");
    let answer = ask(address, "/ready").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains(r#""cassandra":{"ok":false,"waiting":"connecting"}"#), "{answer}");
    assert!(ask(address, "/live").await.starts_with("HTTP/1.1 200 "));
    cassandra.ok();
    assert!(ask(address, "/ready").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let (address, _health, _stop, _tasks) = serving().await;
    let answer = ask(address, "/metrics").await;
    assert!(answer.contains("text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains("\nsink_records_in_total 3\n"), "{answer}");
}

#[tokio::test]
async fn any_other_path_is_not_found() {
    let (address, _health, _stop, _tasks) = serving().await;
    assert!(ask(address, "/").await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_ends_its_headers_is_sent_away() {
    let (address, _health, _stop, _tasks) = serving().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /live HTTP/1.1\r\nhost: ").await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(2 * HEADERS_WITHIN, stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the connection is still open");
}

#[tokio::test(start_paused = true)]
async fn clients_that_take_every_place_hold_them_only_for_a_while() {
    let (address, _health, _stop, _tasks) = serving().await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let answer = tokio::time::timeout(2 * HEADERS_WITHIN, ask(address, "/live")).await;
    assert!(answer.unwrap().starts_with("HTTP/1.1 200 "));
}
