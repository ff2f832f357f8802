//! Websockets on the gateway's paths: each message is a request, each line of the answer a message.
//!
//! The token comes in `Authorization`-like places that browsers can set: the sub-protocol `Bearer, <token>` or the
//! cookie `token`. The method is always POST. Source: `grpc-websocket-proxy`, as etcd sets it up.

use super::counted_io::{CountedIo, Unfinished};
use super::serve::{Calls, Gateway};
use crate::api::body::{CallBody, DoorBody};
use crate::api::intake::{Held, Intake};
use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, COOKIE, ORIGIN, REFERER, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tonic::Status;

/// Messages of a client that wait for the call to take them.
const WAITING_MAX: usize = 16;
/// A client that does not take one message in this time is left.
const SEND_TIME: Duration = Duration::from_secs(60);
/// Longest head of a frame, in bytes.
const FRAME_HEAD_BYTES: usize = 14;

type Socket = WebSocketStream<CountedIo<TokioIo<Upgraded>>>;

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        let text = value.to_str().unwrap_or_default();
        text.split(',').any(|part| part.trim().eq_ignore_ascii_case(token))
    })
}

/// Whether a request asks for a websocket.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, CONNECTION, "upgrade") && has_token(headers, UPGRADE, "websocket")
}

/// The call's headers: who calls, and from which page.
fn call_headers(headers: &HeaderMap) -> HeaderMap {
    let mut passed = HeaderMap::new();
    for name in [ORIGIN, REFERER] {
        if let Some(value) = headers.get(&name) {
            passed.insert(name, value.clone());
        }
    }
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let protocol = text(SEC_WEBSOCKET_PROTOCOL).and_then(|text| text.split_once("Bearer,"));
    let cookie = text(COOKIE)
        .and_then(|text| text.split(';').find_map(|part| part.trim().strip_prefix("token=")));
    let token = cookie.or(protocol.map(|(_, token)| token.trim_matches(' ')));
    if let Some(token) = token
        && let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {token}"))
    {
        value.set_sensitive(true);
        passed.insert(AUTHORIZATION, value);
    }
    passed
}

/// Answers the handshake; the call goes on in a task of its own.
pub fn upgrade(
    gateway: Arc<Gateway>,
    calls: Arc<dyn Calls>,
    mut request: Request<CallBody>,
    message_bytes_max: usize,
    intake: Arc<Intake>,
) -> Response<DoorBody> {
    let headers = request.headers();
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| !key.is_empty());
    let has_version = has_token(headers, SEC_WEBSOCKET_VERSION, "13");
    let (Some(key), true, true) = (key, has_version, request.method() == Method::GET) else {
        return bad_handshake();
    };
    let accept = derive_accept_key(key.as_bytes());
    let mut response = Response::new(DoorBody::page(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    let protocol = headers.get(SEC_WEBSOCKET_PROTOCOL);
    if protocol.is_some_and(|value| value.as_bytes().starts_with(b"Bearer")) {
        answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("Bearer"));
    }
    let passed = call_headers(headers);
    let uri = request.uri().clone();
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let config = WebSocketConfig::default()
            .max_message_size(Some(message_bytes_max))
            .max_frame_size(Some(message_bytes_max));
        let (io, unfinished) = CountedIo::new(TokioIo::new(upgraded), intake.clone());
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = passed;
        let input = Input { unfinished, intake };
        serve(socket, input, &gateway, calls, request).await;
    });
    response
}

fn bad_handshake() -> Response<DoorBody> {
    let mut response = Response::new(DoorBody::page(Bytes::from_static(b"Bad Request\n")));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

/// What counts the messages of a client.
struct Input {
    unfinished: Unfinished,
    intake: Arc<Intake>,
}

impl Input {
    /// A message as a line of a request, counted while it waits; none where there is no room for it.
    fn line(&self, payload: &[u8]) -> Option<(Bytes, Held)> {
        self.unfinished.clear();
        let held = self.intake.hold(payload.len() + 1).ok()?;
        let mut line = BytesMut::with_capacity(payload.len() + 1);
        line.extend_from_slice(payload);
        line.extend_from_slice(b"\n");
        Some((line.freeze(), held))
    }
}

/// Serves one call over a socket. It ends with the call, or when the client goes.
async fn serve(
    socket: Socket,
    input: Input,
    gateway: &Gateway,
    calls: Arc<dyn Calls>,
    request: Request<()>,
) {
    let (mut sink, mut source) = socket.split();
    let (sender, receiver) = mpsc::channel::<(Bytes, Held)>(WAITING_MAX);
    let frames = futures::stream::unfold(receiver, |mut receiver| async move {
        let (line, _) = receiver.recv().await?;
        Some((Ok::<_, Status>(Frame::data(line)), receiver))
    });
    let request = request.map(|()| CallBody::made(StreamBody::new(frames)));
    let reads = async {
        while let Some(Ok(message)) = source.next().await {
            let payload = match message {
                Message::Text(_) | Message::Binary(_) => message.into_data(),
                Message::Close(_) => return,
                other => {
                    input.unfinished.forgive(other.len() + FRAME_HEAD_BYTES);
                    continue;
                }
            };
            let Some(line) = input.line(&payload) else { return };
            if sender.send(line).await.is_err() {
                // The call takes no more requests; whether the client is still there matters all the same.
                while let Some(Ok(_)) = source.next().await {
                    input.unfinished.clear();
                }
                return;
            }
        }
    };
    let writes = async {
        let mut body = gateway.answer_plain(calls, request).await.into_body();
        let mut lines = BytesMut::new();
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            lines.extend_from_slice(&data);
            while let Some(end) = lines.iter().position(|c| *c == b'\n') {
                let line = lines.split_to(end + 1);
                if send(&mut sink, &line[..end]).await.is_err() {
                    return;
                }
            }
        }
        if !lines.is_empty() && send(&mut sink, &lines).await.is_err() {
            return;
        }
        // The client may be gone; then there is nobody to take leave of.
        let _ = sink.close().await;
    };
    tokio::select! {
        () = reads => {}
        () = writes => {}
    }
}

type Sink = futures::stream::SplitSink<Socket, Message>;

async fn send(sink: &mut Sink, line: &[u8]) -> Result<(), ()> {
    let text = String::from_utf8_lossy(line).into_owned();
    match tokio::time::timeout(SEND_TIME, sink.send(Message::text(text))).await {
        Ok(sent) => sent.map_err(drop),
        Err(_) => Err(()),
    }
}
