//! Websockets on the gateway's paths, beside real etcd 3.7.1.

use super::gateway::both;
use super::raw::{ask, mask, post};
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::{WebSocketStream, client_async};

async fn open(url: &str, path: &str) -> WebSocketStream<TcpStream> {
    let address = url.trim_start_matches("http://").to_owned();
    let request = http::Request::builder()
        .uri(format!("ws://{address}{path}"))
        .header("Host", &address)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key())
        .body(())
        .unwrap();
    let socket = TcpStream::connect(&address).await.unwrap();
    client_async(request, socket).await.unwrap().0
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> String {
    let wait = std::time::Duration::from_secs(60);
    let message = tokio::time::timeout(wait, socket.next()).await.unwrap();
    message.unwrap().unwrap().into_text().unwrap().to_string()
}

/// One socket carries several watchers, their events, and the cancelling of one of them.
#[tokio::test(flavor = "multi_thread")]
async fn watch_over_a_websocket_equals_etcds() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, etcd) = both(folder.path(), &[]);
    let mut seen = Vec::new();
    for url in [&ours.members[0].client_url, &etcd.members[0].client_url] {
        let mut socket = open(url, "/v3/watch").await;
        let mut lines = Vec::new();
        for create in [
            r#"{"create_request":{"key":"Zm9v"}}"#,
            "{\"create_request\":\n{\"key\":\"YmFy\",\"watch_id\":\"5\"}}",
        ] {
            socket.send(Message::text(create)).await.unwrap();
            lines.push(next(&mut socket).await);
        }
        let put = post("/v3/kv/put", r#"{"key":"YmFy","value":"MQ=="}"#);
        let (url, put) = (url.clone(), put);
        tokio::task::spawn_blocking(move || assert_eq!(ask(&url, &put).status, 200)).await.unwrap();
        lines.push(next(&mut socket).await);
        let cancel = r#"{"cancel_request":{"watch_id":5}}"#;
        socket.send(Message::binary(cancel.as_bytes().to_vec())).await.unwrap();
        lines.push(next(&mut socket).await);
        socket.close(None).await.unwrap();
        seen.push(mask(&lines.join("\n")));
    }
    assert_eq!(seen[0], seen[1]);
}

/// A keep-alive stream renews as often as it is asked.
#[tokio::test(flavor = "multi_thread")]
async fn keep_alive_over_a_websocket_equals_etcds() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, etcd) = both(folder.path(), &[]);
    let mut seen = Vec::new();
    for url in [&ours.members[0].client_url, &etcd.members[0].client_url] {
        let (target, grant) = (url.clone(), post("/v3/lease/grant", r#"{"TTL":1000,"ID":7}"#));
        tokio::task::spawn_blocking(move || assert_eq!(ask(&target, &grant).status, 200))
            .await
            .unwrap();
        let mut socket = open(url, "/v3/lease/keepalive").await;
        let mut lines = Vec::new();
        for id in ["7", "8"] {
            socket.send(Message::text(format!(r#"{{"ID":"{id}"}}"#))).await.unwrap();
            lines.push(next(&mut socket).await);
        }
        seen.push(mask(&lines.join("\n")));
    }
    assert_eq!(seen[0], seen[1]);
}
