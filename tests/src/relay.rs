//! A way to servers that can be cut, made slow, and made to lose answers.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::time::Instant;

/// A server that is stopped takes connections as long as its kernel has room for them, and then none.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// Answers on their way; whoever sends more waits.
const ON_THE_WAY_MAX: usize = 1024;

/// Before each CQL frame: version, flags, stream (2), opcode, length of the body (4).
const FRAME_HEAD_LEN: usize = 9;
/// The opcode of the answer to a statement.
const RESULT: u8 = 8;

/// A relay to one server, or to the nodes of a ring.
#[derive(Debug)]
pub struct Relay {
    addresses: Vec<SocketAddr>,
    wires: Arc<Wires>,
}

/// What its connections share.
#[derive(Debug, Default)]
struct Wires {
    is_cut: AtomicBool,
    delay_ms: AtomicU64,
    /// 0: none is lost.
    lost_one_in: AtomicU64,
    results: AtomicU64,
    lost: AtomicU64,
    made: AtomicU64,
    open: Mutex<BTreeMap<u64, [TcpStream; 2]>>,
}

impl Relay {
    /// To one server, whatever it speaks. Ends with the process.
    #[must_use]
    pub fn to(server: &str) -> Self {
        Self::made(&[server.to_owned()], false)
    }

    /// To nodes of Cassandra, whose answers can be slow and get lost. All are at one port: the driver takes a node's
    /// address from the node, and the port from what it was told.
    #[must_use]
    pub fn to_cassandra(nodes: &[String]) -> Self {
        Self::made(nodes, true)
    }

    fn made(servers: &[String], is_cql: bool) -> Self {
        let servers: Vec<SocketAddr> = servers.iter().map(|server| server.parse().expect("host:port")).collect();
        let listeners = listeners(&servers);
        let addresses = listeners.iter().map(|listener| listener.local_addr().expect("bound")).collect();
        let wires = Arc::new(Wires::default());
        for (listener, server) in listeners.into_iter().zip(servers) {
            let wires = Arc::clone(&wires);
            thread::spawn(move || {
                for client in listener.incoming().flatten() {
                    wires.connect(client, server, is_cql);
                }
            });
        }
        Self { addresses, wires }
    }

    /// `host:port` of the way to the first server.
    #[must_use]
    pub fn address(&self) -> String {
        self.addresses[0].to_string()
    }

    /// `host:port` of each, separated by commas.
    #[must_use]
    pub fn addresses(&self) -> String {
        self.addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",")
    }

    /// Breaks what is open and lets nothing new through.
    pub fn cut(&self) {
        self.wires.is_cut.store(true, Ordering::SeqCst);
        for ends in std::mem::take(&mut *self.wires.open()).into_values() {
            ends.iter().for_each(|end| drop(end.shutdown(Shutdown::Both)));
        }
    }

    pub fn mend(&self) {
        self.wires.is_cut.store(false, Ordering::SeqCst);
    }

    /// Lets each answer of Cassandra take so much longer.
    pub fn delay(&self, by: Duration) {
        self.wires.delay_ms.store(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Lets one in so many answers of Cassandra to a statement get lost; 0: none.
    pub fn lose_one_in(&self, count: u64) {
        self.wires.lost_one_in.store(count, Ordering::SeqCst);
    }

    /// Answers that were lost since the start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.wires.lost.load(Ordering::SeqCst)
    }
}

/// One for each server, at its own host and all at the same free port.
fn listeners(servers: &[SocketAddr]) -> Vec<TcpListener> {
    for _ in 0..100 {
        let first = TcpListener::bind((servers[0].ip(), 0)).expect("a free port");
        let port = first.local_addr().expect("bound").port();
        let others = servers[1..].iter().map(|server| TcpListener::bind((server.ip(), port)));
        if let Ok(others) = others.collect::<Result<Vec<_>, _>>() {
            return [first].into_iter().chain(others).collect();
        }
    }
    panic!("no port is free at all of {servers:?}")
}

impl Wires {
    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, [TcpStream; 2]>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Anything that goes wrong here is, for the client, a connection that breaks.
    fn connect(self: &Arc<Self>, client: TcpStream, server: SocketAddr, is_cql: bool) -> Option<()> {
        if self.is_cut.load(Ordering::SeqCst) {
            return None;
        }
        let server = TcpStream::connect_timeout(&server, CONNECT_WITHIN).ok()?;
        for end in [&client, &server] {
            end.set_nodelay(true).ok()?;
        }
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        self.open().insert(number, [client.try_clone().ok()?, server.try_clone().ok()?]);
        if self.is_cut.load(Ordering::SeqCst) {
            self.close(number);
            return None;
        }
        let (questions, answers) = (Arc::clone(self), Arc::clone(self));
        let (from_client, to_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
        thread::spawn(move || {
            copy(from_client, to_server);
            questions.close(number);
        });
        thread::spawn(move || {
            if is_cql {
                answers.relay_answers(server, client);
            } else {
                copy(server, client);
            }
            answers.close(number);
        });
        Some(())
    }

    fn close(&self, number: u64) {
        let ends = self.open().remove(&number);
        ends.into_iter().flatten().for_each(|end| drop(end.shutdown(Shutdown::Both)));
    }

    /// Frame by frame, each when it is due.
    fn relay_answers(&self, mut server: TcpStream, client: TcpStream) {
        let (sender, receiver) = sync_channel(ON_THE_WAY_MAX);
        let writer = thread::spawn(move || write_when_due(&receiver, client));
        while let Some(frame) = read_frame(&mut server) {
            if frame[4] == RESULT && self.is_to_be_lost() {
                continue;
            }
            if send_later(&sender, self.delay_ms.load(Ordering::SeqCst), frame).is_none() {
                break;
            }
        }
        drop(sender);
        let _ended = writer.join();
    }

    fn is_to_be_lost(&self) -> bool {
        let one_in = self.lost_one_in.load(Ordering::SeqCst);
        let is_lost = one_in > 0 && self.results.fetch_add(1, Ordering::SeqCst).is_multiple_of(one_in);
        self.lost.fetch_add(u64::from(is_lost), Ordering::SeqCst);
        is_lost
    }
}

type Due = (Instant, Vec<u8>);

fn send_later(sender: &SyncSender<Due>, delay_ms: u64, frame: Vec<u8>) -> Option<()> {
    sender.send((Instant::now() + Duration::from_millis(delay_ms), frame)).ok()
}

fn write_when_due(frames: &Receiver<Due>, mut client: TcpStream) {
    while let Ok((due, frame)) = frames.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if client.write_all(&frame).is_err() {
            break;
        }
    }
}

fn read_frame(server: &mut TcpStream) -> Option<Vec<u8>> {
    let mut frame = vec![0; FRAME_HEAD_LEN];
    server.read_exact(&mut frame).ok()?;
    let len = u32::from_be_bytes(frame[5..].try_into().ok()?);
    frame.resize(FRAME_HEAD_LEN + usize::try_from(len).ok()?, 0);
    server.read_exact(&mut frame[FRAME_HEAD_LEN..]).ok()?;
    Some(frame)
}

/// Copies until either side ends.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
}
