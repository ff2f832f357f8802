//! The JSON gateway over HTTP/2, as curl and browsers speak it: under TLS as by etcd 3.7.1, and without TLS too, which
//! etcd keeps for gRPC.

use super::ask::{Lone, etcd, ours, run};
use std::path::Path;
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
