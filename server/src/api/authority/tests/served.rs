//! `h2` itself behind the connection: it accepts the requests, and both sides' tables stay the same.

use super::*;
use ::bytes::Bytes;
use http::Request;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

/// Serves that many requests, or all until the client goes; answers each with its body, and returns authority and
/// `x-mark` of each.
async fn serve(connection: DuplexStream, most: usize) -> Vec<(String, String)> {
    let mut server = h2::server::handshake(RepairAuthority::new(connection)).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < most {
        let Some(request) = server.accept().await else { break };
        let Ok((mut request, mut respond)) = request else { break };
        let mark = request.headers().get("x-mark").map_or("", |mark| mark.to_str().unwrap());
        seen.push((request.uri().authority().unwrap().to_string(), mark.to_owned()));
        tokio::spawn(async move {
            let mut body = Vec::new();
            while let Some(Ok(part)) = request.body_mut().data().await {
                request.body_mut().flow_control().release_capacity(part.len()).unwrap();
                body.extend_from_slice(&part);
            }
            let mut stream = respond.send_response(http::Response::new(()), false).unwrap();
            stream.send_data(Bytes::from(body), true).unwrap();
        });
    }
    seen
}

/// What the server makes of two requests.
async fn send(bytes: Vec<u8>) -> Vec<(String, String)> {
    let (mut client, connection) = duplex(1 << 20);
    client.write_all(&bytes).await.unwrap();
    // A request that `h2` resets never comes.
    tokio::time::timeout(Duration::from_secs(20), serve(connection, 2)).await.unwrap()
}

/// Requests with the clients' authorities are served, and later ones that refer to the dynamic table mean the same.
#[tokio::test]
async fn h2_serves_what_old_clients_send() {
    let mark = [&[0x40][..], &huffman(b"x-mark"), &plain(b"first")].concat();
    for value in [URL, ENDPOINTS] {
        let seen = send(connection(&[
            frame(SETTINGS, 0, 0, &[]),
            headers(1, &[block(&huffman(value)), mark.clone()].concat()),
            // The mark is the newest entry, the authority the one before it.
            headers(3, &[&REQUEST[..], &[NEWEST_ENTRY + 1, NEWEST_ENTRY]].concat()),
        ]))
        .await;
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].0.len(), value.len());
        assert_eq!(seen[0], seen[1]);
        assert_eq!(seen[0].1, "first");
    }
}

/// A table that is full to the byte evicts nothing: the new authority takes the room of the old one.
#[tokio::test]
async fn the_table_keeps_its_entries_to_the_byte() {
    // An entry counts its name, its value and 32 bytes; the table holds 4,096.
    let (overhead, mark) = (32 + 10, b"kept");
    let authority = vec![b'/'; 4096 - overhead - (32 + 6 + mark.len())];
    let mark = [&[0x40][..], &plain(b"x-mark"), &plain(mark)].concat();
    let seen = send(connection(&[
        frame(SETTINGS, 0, 0, &[]),
        headers(1, &[block(&huffman(&authority)), mark].concat()),
        headers(3, &[&REQUEST[..], &[NEWEST_ENTRY + 1, NEWEST_ENTRY]].concat()),
    ]))
    .await;
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0].1, "kept");
}

/// A client that has done nothing wrong gets all of its bytes to the server and back.
#[tokio::test]
async fn bodies_of_megabytes_arrive_whole() {
    let (client, connection) = duplex(10_007);
    let server = tokio::spawn(serve(connection, usize::MAX));
    let (sender, client) = h2::client::handshake(client).await.unwrap();
    let client = tokio::spawn(client);
    let body = Bytes::from((0..3_000_000u32).map(|n| (n % 251) as u8).collect::<Vec<u8>>());
    for _ in 0..2 {
        let request = Request::post("http://localhost:2379/").body(()).unwrap();
        let mut sender = sender.clone().ready().await.unwrap();
        let (answer, mut stream) = sender.send_request(request, false).unwrap();
        stream.send_data(body.clone(), true).unwrap();
        let mut answer = answer.await.unwrap().into_body();
        let mut echoed = Vec::new();
        while let Some(part) = answer.data().await {
            let part = part.unwrap();
            answer.flow_control().release_capacity(part.len()).unwrap();
            echoed.extend_from_slice(&part);
        }
        assert!(echoed == body);
    }
    drop(sender);
    client.await.unwrap().unwrap();
    assert_eq!(server.await.unwrap(), vec![("localhost:2379".to_owned(), String::new()); 2]);
}
