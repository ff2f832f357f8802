//! The pseudo-headers of every request on standard error, for who sets `GODEBUG=http2debug=1` (or 2) as with etcd.
//!
//! It is how people find out which `:authority` a client sends through their proxies. The lines read as those of Go's
//! HTTP/2 server; other headers, among them tokens, are never shown.

use http::{Request, Version};
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::LazyLock;

static IS_ON: LazyLock<bool> =
    LazyLock::new(|| std::env::var("GODEBUG").is_ok_and(|settings| asks(&settings)));

/// Whether Go's debug settings ask for it.
fn asks(settings: &str) -> bool {
    settings.split(',').any(|setting| matches!(setting.trim(), "http2debug=1" | "http2debug=2"))
}

/// Shows a request that has come.
pub(super) fn show<B>(request: &Request<B>) {
    if *IS_ON && request.version() == Version::HTTP_2 {
        // Nobody may be reading it any more.
        let _ = std::io::stderr().write_all(lines(request).as_bytes());
    }
}

fn lines<B>(request: &Request<B>) -> String {
    let uri = request.uri();
    let fields = [
        (":method", request.method().as_str()),
        (":scheme", uri.scheme_str().unwrap_or_default()),
        (":path", uri.path_and_query().map_or("", |path| path.as_str())),
        (":authority", uri.authority().map_or("", |authority| authority.as_str())),
    ];
    let mut text = String::new();
    for (name, value) in fields {
        let written =
            writeln!(text, "http2: decoded hpack field header field {name:?} = {value:?}");
        written.expect("a text takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One setting among others turns it on.
    #[test]
    fn settings() {
        assert!(asks("http2debug=2") && asks("madvdontneed=1,http2debug=1"));
        assert!(!asks("http2debug=0") && !asks("") && !asks("xhttp2debug=2"));
    }

    /// Pseudo-headers are shown as Go shows them, a token is not.
    #[test]
    fn tokens_stay_hidden() {
        let request = Request::post("https://localhost:2379/etcdserverpb.KV/Put")
            .header("token", "s3cret")
            .body(())
            .unwrap();
        let text = lines(&request);
        let authority =
            r#"http2: decoded hpack field header field ":authority" = "localhost:2379""#;
        assert!(text.ends_with(&format!("{authority}\n")), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}
