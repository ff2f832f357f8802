//! HTTP/1.1 as curl speaks it, over a bare socket, and answers as text that two servers can be compared by.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Time a server has to say the next thing. Only a server that is stuck needs it all.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// Headers that clients act on.
const COMPARED: &[&str] = &[
    "content-type",
    "grpc-metadata-content-type",
    "www-authenticate",
    "allow",
    "location",
    "x-content-type-options",
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
];

/// Fields whose values differ between any two clusters.
pub const MASKED: &[&str] = &[
    "cluster_id",
    "member_id",
    "raft_term",
    "raftTerm",
    "raftIndex",
    "raftAppliedIndex",
    "leader",
    "dbSize",
    "dbSizeInUse",
    "hash",
];

/// One request.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

/// A `POST` of a JSON body, as curl's `-d` sends it.
pub fn post(path: &str, body: &str) -> Ask {
    Ask { method: "POST", path: path.to_owned(), headers: vec![], body: body.to_owned() }
}

/// A `GET`.
pub fn get(path: &str) -> Ask {
    Ask { method: "GET", path: path.to_owned(), headers: vec![], body: String::new() }
}

impl Ask {
    pub fn method(mut self, method: &'static str) -> Ask {
        self.method = method;
        self
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Ask {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// An answer whose body is still to be read.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    reader: BufReader<TcpStream>,
    is_chunked: bool,
    length: Option<usize>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// Sends a request on a connection of its own and waits for the head of the answer.
pub fn send(url: &str, ask: &Ask) -> Reply {
    let address = url.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(ANSWER_TIME)).unwrap();
    let mut head = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", ask.method, ask.path);
    if !ask.headers.iter().any(|(name, _)| *name == "Host") {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in &ask.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if ask.method == "POST" || !ask.body.is_empty() {
        head.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
        head.push_str(&format!("Content-Length: {}\r\n", ask.body.len()));
    }
    // A server that refuses a large body early closes the connection while it is being sent.
    let _ = socket.write_all(format!("{head}\r\n{}", ask.body).as_bytes());
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no HTTP answer to {ask:?}: {line:?}"));
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let find = |wanted: &str| headers.iter().find(|(name, _)| name == wanted);
    let is_chunked = find("transfer-encoding").is_some();
    let length = find("content-length").and_then(|(_, value)| value.parse().ok());
    Reply { status, is_chunked, length, headers, reader }
}

impl Reply {
    /// The next piece of the body, as the server flushed it; none at the end.
    pub fn chunk(&mut self) -> Option<String> {
        if !self.is_chunked {
            let mut bytes = vec![0; self.length.unwrap_or(0)];
            self.reader.read_exact(&mut bytes).unwrap();
            self.length = None;
            return (!bytes.is_empty()).then(|| String::from_utf8(bytes).unwrap());
        }
        let mut size = String::new();
        self.reader.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut bytes = vec![0; size + 2];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes.truncate(size);
        (size > 0).then(|| String::from_utf8(bytes).unwrap())
    }

    /// `n` lines of a stream.
    pub fn lines(&mut self, n: usize) -> Vec<String> {
        let mut text = String::new();
        while text.matches('\n').count() < n {
            text.push_str(&self.chunk().expect("the stream ended early"));
        }
        text.lines().map(str::to_owned).collect()
    }

    /// The whole answer.
    pub fn finish(mut self) -> Answer {
        let mut body = String::new();
        while let Some(chunk) = self.chunk() {
            body.push_str(&chunk);
        }
        Answer { status: self.status, headers: self.headers, body }
    }
}

/// Sends a request and reads the whole answer.
pub fn ask(url: &str, ask: &Ask) -> Answer {
    send(url, ask).finish()
}

impl Answer {
    /// Status, headers that matter and body, without what differs between any two clusters.
    pub fn seen(&self) -> String {
        format!("{}\n{}\n{}", self.status, headers_seen(&self.headers), mask(&self.body))
    }
}

/// The headers that matter, a line each.
pub fn headers_seen(headers: &[(String, String)]) -> String {
    let mut found: Vec<String> = headers
        .iter()
        .filter(|(name, _)| COMPARED.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    found.sort();
    found.join("\n")
}

/// Hides the values of fields that differ between any two clusters, and the space that Go puts into errors at random.
pub fn mask(json: &str) -> String {
    let mut masked = json.replace("proto:\u{a0}", "proto: ");
    for field in MASKED {
        let name = format!("\"{field}\":");
        let mut out = String::new();
        let mut rest = masked.as_str();
        while let Some(at) = rest.find(&name) {
            let (before, after) = rest.split_at(at + name.len());
            out.push_str(before);
            let end = after.find([',', '}']).unwrap_or(after.len());
            out.push('X');
            rest = &after[end..];
        }
        out.push_str(rest);
        masked = out;
    }
    masked
}
