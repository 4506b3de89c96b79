//! A collector of telemetry: takes OTLP over HTTP and keeps what it was sent, as bytes and as what they mean.
//!
//! It reads protobuf by itself, with the numbers that OTLP 1 gives its fields, so that nothing of the exporter's judges
//! the exporter.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

/// A collector that runs until its process ends.
#[derive(Clone, Debug)]
pub struct Collector {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    /// Request line and headers.
    pub head: String,
    pub body: Vec<u8>,
}

/// One span, with the resource it is of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Span {
    pub resource: BTreeMap<String, String>,
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty for the first span of a trace.
    pub parent: String,
    /// 3 a client, 5 a consumer.
    pub kind: u64,
    pub attributes: BTreeMap<String, String>,
    /// Trace and span that it says it belongs to.
    pub links: Vec<(String, String)>,
    pub is_error: bool,
}

impl Span {
    /// An attribute that must be there.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).unwrap_or_else(|| panic!("{} has no {name}: {:?}", self.name, self.attributes))
    }

    /// The service that made it.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.resource["service.name"]
    }
}

impl Collector {
    /// Listens on a free port.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let collector = Self { address: listener.local_addr().unwrap(), requests: Arc::default() };
        let kept = collector.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let kept = kept.clone();
                std::thread::spawn(move || kept.serve(stream.unwrap()));
            }
        });
        collector
    }

    /// What `telemetry.otlp_endpoint` is set to.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.kept().clone()
    }

    /// Every span so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.requests();
        let traces = requests.iter().filter(|request| request.path == "/v1/traces");
        traces
            .flat_map(|request| fields(&request.body).into_iter().flat_map(|(_, it)| resource_spans(it.bytes())))
            .collect()
    }

    /// The names of all metrics so far, by service.
    #[must_use]
    pub fn metrics(&self) -> BTreeMap<String, Vec<String>> {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for request in self.requests().iter().filter(|request| request.path == "/v1/metrics") {
            for (_, of_resource) in fields(&request.body) {
                let resource = resource(of_resource.bytes());
                let names = found.entry(resource["service.name"].clone()).or_default();
                for scope in all(of_resource.bytes(), 2) {
                    names.extend(all(scope, 2).into_iter().map(|metric| text(metric, 1)));
                }
            }
        }
        found
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap()
    }

    /// Answers each request of one connection, until its client leaves.
    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).unwrap_or(0) == 0 {
                    return;
                }
            }
            let len = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; len.expect("a request says how long it is")];
            if reader.read_exact(&mut body).is_err() {
                return;
            }
            let path = head.split(' ').nth(1).expect("a path").to_owned();
            self.kept().push(Request { path, head, body });
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
            if writer.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// One field of a message.
#[derive(Clone, Debug, PartialEq)]
enum Value<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

impl<'b> Value<'b> {
    fn bytes(&self) -> &'b [u8] {
        let Self::Bytes(bytes) = self else { panic!("{self:?} is no message") };
        bytes
    }
}

/// The fields of a message, in order; panics if it is none.
fn fields(mut message: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message);
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut message)),
            1 => Value::Number(u64::from_le_bytes(take(&mut message, 8).try_into().unwrap())),
            2 => {
                let len = usize::try_from(varint(&mut message)).unwrap();
                Value::Bytes(take(&mut message, len))
            }
            5 => Value::Number(u32::from_le_bytes(take(&mut message, 4).try_into().unwrap()).into()),
            other => panic!("no wire type of OTLP: {other}"),
        };
        fields.push((tag >> 3, value));
    }
    fields
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(message, 1)[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
    }
    panic!("a number of more than 64 bits")
}

fn take<'b>(message: &mut &'b [u8], len: usize) -> &'b [u8] {
    let (taken, rest) = message.split_at(len);
    *message = rest;
    taken
}

fn all(message: &[u8], number: u64) -> Vec<&[u8]> {
    fields(message).into_iter().filter(|(of, _)| *of == number).map(|(_, value)| value.bytes()).collect()
}

fn text(message: &[u8], number: u64) -> String {
    all(message, number).first().map_or_else(String::new, |text| String::from_utf8(text.to_vec()).unwrap())
}

fn hex(message: &[u8], number: u64) -> String {
    all(message, number).first().map_or_else(String::new, |id| id.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn number(message: &[u8], of: u64) -> u64 {
    let found = fields(message).into_iter().find(|(number, _)| *number == of);
    found.map_or(0, |(_, value)| if let Value::Number(number) = value { number } else { panic!("{of} is no number") })
}

fn resource(of_resource: &[u8]) -> BTreeMap<String, String> {
    all(of_resource, 1).first().map(|resource| attributes(resource, 1)).unwrap_or_default()
}

fn attributes(message: &[u8], number: u64) -> BTreeMap<String, String> {
    let value = |value: &[u8]| match fields(value).first() {
        Some((1, text)) => String::from_utf8(text.bytes().to_vec()).unwrap(),
        Some((_, Value::Number(number))) => number.to_string(),
        other => panic!("no attribute of ours: {other:?}"),
    };
    all(message, number).into_iter().map(|pair| (text(pair, 1), value(all(pair, 2)[0]))).collect()
}

fn resource_spans(of_resource: &[u8]) -> Vec<Span> {
    let resource = resource(of_resource);
    let spans = all(of_resource, 2).into_iter().flat_map(|scope| all(scope, 2));
    spans
        .map(|span| Span {
            resource: resource.clone(),
            name: text(span, 5),
            trace: hex(span, 1),
            id: hex(span, 2),
            parent: hex(span, 4),
            kind: number(span, 6),
            attributes: attributes(span, 9),
            links: all(span, 13).into_iter().map(|link| (hex(link, 1), hex(link, 2))).collect(),
            is_error: all(span, 15).into_iter().any(|status| number(status, 3) == 2),
        })
        .collect()
}
