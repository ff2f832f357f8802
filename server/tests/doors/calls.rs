//! gRPC calls frame by frame, for clients that do not finish, do not read, or choose their own encoding.

use bytes::{BufMut, Bytes, BytesMut};
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use prost::Message;
use std::future::poll_fn;

/// A message with its prefix.
pub fn framed(message: &impl Message) -> Bytes {
    flagged(0, &message.encode_to_vec())
}

/// Bytes with a prefix that says whether they are compressed.
pub fn flagged(flag: u8, bytes: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(flag);
    frame.put_u32(u32::try_from(bytes.len()).unwrap());
    frame.extend_from_slice(bytes);
    frame.freeze()
}

/// A connection that takes this many bytes of each answer before anybody reads it.
pub async fn connect(port: u16, window: u32) -> SendRequest<Bytes> {
    let socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(window).initial_connection_window_size((1 << 31) - 1);
    let (send, connection) = builder.handshake(socket).await.unwrap();
    tokio::spawn(connection);
    send
}

/// Opens a call and sends nothing yet.
pub async fn open(
    client: &SendRequest<Bytes>,
    path: &str,
    headers: &[(&str, &str)],
) -> (ResponseFuture, SendStream<Bytes>) {
    let mut request = http::Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(()).unwrap();
    client.clone().ready().await.unwrap().send_request(request, false).unwrap()
}

/// Sends all of it, unless the server does not want it.
pub async fn send(stream: &mut SendStream<Bytes>, mut bytes: Bytes, is_end: bool) {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let Some(Ok(room)) = poll_fn(|cx| stream.poll_capacity(cx)).await else { return };
        let piece = bytes.split_to(room.min(bytes.len()));
        if stream.send_data(piece, is_end && bytes.is_empty()).is_err() {
            return;
        }
    }
}
