//! The JSON gateway over HTTP/2, as curl and browsers speak it: under TLS as by etcd 3.7.1, and without TLS too, which
//! etcd keeps for gRPC.

use super::ask::{Lone, etcd, ours, run};
use super::calls;
use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;
use testbed::{Leaf, Pki};

/// Path, body; none for a GET.
const ASKED: &[(&str, Option<&str>)] = &[
    ("/v3/kv/put", Some(r#"{"key":"Zm9v","value":"YmFy"}"#)),
    ("/v3/kv/range", Some(r#"{"key":"Zm9v","count_only":true}"#)),
    ("/v3/kv/range", Some(r#"{"key":"Zm9v","revision":"99"}"#)),
    ("/v3/kv/range", Some("{no json")),
    ("/v3/auth/enable", Some("{}")),
    ("/v3/lease/keepalive", Some(r#"{"ID":"1"}{"ID":"2"}"#)),
    ("/v3/no/such/path", Some("{}")),
    ("/v3/kv/range", None),
    ("/health", None),
    ("/nothing", None),
];

/// Status, version of HTTP, content type and body without what differs between two clusters.
fn answer(flags: &[&str], url: &str, body: Option<&str>) -> String {
    let format = "\n%{http_version} %{http_code} %{content_type}";
    let mut args = vec!["-sS", "--max-time", "30", "-w", format];
    args.extend_from_slice(flags);
    if let Some(body) = body {
        args.extend(["-d", body]);
    }
    args.push(url);
    let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
    // Where there is no answer at all, that is what is compared.
    let said = run(Path::new("curl"), &args).out;
    let lines = said.lines().map(|line| match serde_json::from_str(line) {
        Ok(serde_json::Value::Object(mut object)) => {
            object.remove("header");
            if let Some(result) = object.get_mut("result").and_then(|result| result.as_object_mut())
            {
                result.remove("header");
            }
            serde_json::Value::Object(object).to_string()
        }
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The same answers over HTTP/2 as etcd gives, with TLS; without it, ours answers as with it.
#[test]
fn the_gateway_speaks_http2() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let server = pki.issue(&Leaf { file: "server", ..Leaf::default() }).unwrap();
    let ca = pki.ca().display().to_string();
    let mut all = Vec::new();
    for program in [ours(), etcd()] {
        let kind = if program == ours() { "ours" } else { "etcd" };
        let urls = "http://127.0.0.1:{client},https://127.0.0.1:{client}";
        let args = [
            format!("--listen-client-urls={urls}"),
            format!("--advertise-client-urls={urls}"),
            "--listen-peer-urls=http://127.0.0.1:{peer}".to_owned(),
            "--initial-advertise-peer-urls=http://127.0.0.1:{peer}".to_owned(),
            format!("--initial-cluster={kind}=http://127.0.0.1:{{peer}}"),
            format!("--cert-file={}", server.cert.display()),
            format!("--key-file={}", server.key.display()),
        ];
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let member = Lone::new(&program, folder.path(), kind, &args).started();
        let over = |flags: &[&str], scheme: &str| -> Vec<String> {
            let url = |path: &str| format!("{scheme}://127.0.0.1:{}{path}", member.client);
            ASKED.iter().map(|(path, body)| answer(flags, &url(path), *body)).collect()
        };
        let tls = over(&["--cacert", &ca, "--http2"], "https");
        let plain = over(&["--http2-prior-knowledge"], "http");
        all.push((tls, plain));
    }
    let [(our_tls, our_plain), (their_tls, their_plain)] = &all[..] else { unreachable!() };
    for (n, (our, their)) in our_tls.iter().zip(their_tls).enumerate() {
        assert!(their.contains("\n2 ") || their.starts_with("2 "), "no HTTP/2: {their}");
        assert_eq!(our, their, "{:?}", ASKED[n]);
        // What is asked for without TLS is the same here; etcd takes all of it for gRPC.
        assert_eq!(&our_plain[n], our, "{:?}", ASKED[n]);
        assert!(
            !their_plain[n].contains(" application/json"),
            "{:?}: {}",
            ASKED[n],
            their_plain[n]
        );
    }
}

/// Asks with a body that is sent only after the head of the answer has come; gives status and body of the answer.
async fn asked_late(client: &SendRequest<Bytes>, path: &str) -> (u16, Bytes) {
    let request = http::Request::post(format!("http://localhost{path}"));
    let request = request.header("content-length", "2").body(()).unwrap();
    let mut client = client.clone().ready().await.unwrap();
    let (answer, mut sender) = client.send_request(request, false).unwrap();
    let (head, mut body) = answer.await.unwrap().into_parts();
    // Where the stream was over already, this is what curl 7.88 fails of.
    sender.send_data(Bytes::from_static(b"{}"), true).unwrap();
    let mut all = BytesMut::new();
    while let Some(data) = body.data().await {
        all.extend_from_slice(&data.unwrap());
    }
    (head.status.as_u16(), all.freeze())
}

/// A request that is refused for its head alone may still send its body, over HTTP/2 and over HTTP/1.1.
#[test]
fn refused_requests_may_finish() {
    let folder = tempfile::tempdir().unwrap();
    let member = Lone::plain(&ours(), folder.path(), "late", &[]);
    let refused = [
        ("/v3/no/such/path", 404),
        ("/nothing", 404),
        ("/version", 405),
        ("/etcdserverpb.KV/Range", 415),
    ];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = calls::connect(member.client, 1 << 20).await;
        for (path, status) in refused {
            let (answered, body) = asked_late(&client, path).await;
            assert_eq!(answered, status, "{path}: {body:?}");
            assert!(!body.is_empty(), "{path}");
        }
    });
    let mut line = TcpStream::connect(("127.0.0.1", member.client)).unwrap();
    line.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    for (path, status) in [("/nothing", "404"), ("/version", "405"), ("/v3/no/such/path", "404")] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n");
        line.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 12];
        line.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *format!("HTTP/1.1 {status}").as_bytes());
        line.write_all(b"{}").unwrap();
        rest_of_answer(&mut line);
    }
}

/// Reads an answer to its end, whose length its head says.
fn rest_of_answer(line: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        line.read_exact(&mut byte).unwrap();
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    line.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
}
