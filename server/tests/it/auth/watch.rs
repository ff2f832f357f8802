//! A watch ends with the right to it: what etcd does not do.

use super::pair::{add_user, change_password, grant, revoke, start};
use crate::wire::{AuthCall, Call, Wire, b};
use AuthCall::{Disable, Enable, GrantRole, RevokeRole, RoleAdd, UserDelete};
use quorate_proto::authpb::permission::Type::{Read, Write};
use quorate_proto::etcdserverpb as pb;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use std::path::Path;
use std::time::Duration;
use testbed::Cluster;
use tokio::sync::mpsc;
use tonic::Streaming;

/// How long a message may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const DENIED: &str = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
const INVALID: &str = "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token";
const NO_USER: &str = "rpc error: code = InvalidArgument desc = etcdserver: user name is empty";

struct Stage {
    _cluster: Cluster,
    _folder: tempfile::TempDir,
    open: Wire,
    root: Wire,
}

/// One stream of watches.
struct Watching {
    requests: mpsc::Sender<pb::WatchRequest>,
    answers: Streaming<pb::WatchResponse>,
}

impl Watching {
    async fn open(wire: &Wire) -> Watching {
        let (requests, queue) = mpsc::channel(16);
        let queue = tokio_stream::wrappers::ReceiverStream::new(queue);
        // The answer comes with its first message, so a watch is asked for before.
        let create = pb::WatchCreateRequest { key: b("mark"), ..Default::default() };
        requests.send(wrap(create)).await.unwrap();
        let answers = wire.watch_stream(queue).await.unwrap();
        Watching { requests, answers }
    }

    async fn next(&mut self) -> pb::WatchResponse {
        let next = tokio::time::timeout(PATIENCE, self.answers.message()).await;
        next.expect("a message in time").unwrap().expect("no end of the stream")
    }

    /// Creates a watch and returns its id.
    async fn watch(&mut self, key: &str, range_end: &str) -> i64 {
        let create =
            pb::WatchCreateRequest { key: b(key), range_end: b(range_end), ..Default::default() };
        self.requests.send(wrap(create)).await.unwrap();
        let created = self.next().await;
        assert!(created.created && !created.canceled, "{created:?}");
        created.watch_id
    }

    /// The next message must be the end of this watch for this reason.
    async fn ends(&mut self, id: i64, reason: &str) {
        let end = self.next().await;
        assert!(end.canceled && end.events.is_empty(), "{end:?}");
        assert_eq!((end.watch_id, end.cancel_reason.as_str()), (id, reason));
    }
}

fn wrap(create: pb::WatchCreateRequest) -> pb::WatchRequest {
    pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }
}

async fn ask(wire: &Wire, call: Call) {
    let answer = wire.call(call.clone()).await;
    assert!(answer.contains("header"), "{call:?}: {answer}");
}

async fn put(wire: &Wire, key: &str) {
    let put = pb::PutRequest { key: b(key), value: b("v"), ..Default::default() };
    ask(wire, Call::Put(put)).await;
}

/// A member with root and with user `u`, which may read `[k, m)` and `mark`.
async fn stage() -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_quorate-server"));
    let cluster = start(program, folder.path(), 1, &["--bcrypt-cost=4"]);
    let open = Wire::connect(&cluster.client_urls()[0]).await;
    for call in [
        add_user("root", "rootpw"),
        add_user("u", "pw"),
        Call::Auth(RoleAdd("r")),
        grant("r", Read, "k", "m"),
        grant("r", Read, "mark", ""),
        Call::Auth(GrantRole("root", "root")),
        Call::Auth(GrantRole("u", "r")),
        Call::Auth(Enable),
    ] {
        ask(&open, call).await;
    }
    let root = open.with_token(&open.login("root", "rootpw").await.unwrap());
    Stage { _cluster: cluster, _folder: folder, open, root }
}

impl Stage {
    async fn user(&self) -> Wire {
        self.open.with_token(&self.open.login("u", "pw").await.unwrap())
    }
}

/// Whatever takes a right away ends the watches that lived on it, and nothing written later is shown by them; watches
/// whose right stays go on.
#[tokio::test]
async fn a_watch_ends_with_its_right() {
    let stage = stage().await;
    let root = &stage.root;
    let undo_role = Call::Auth(GrantRole("u", "r"));
    let cases: [(Call, &str, bool, Vec<Call>); 5] = [
        (revoke("r", "k", "m"), DENIED, true, vec![grant("r", Read, "k", "m")]),
        (grant("r", Write, "k", "m"), DENIED, true, vec![grant("r", Read, "k", "m")]),
        (Call::Auth(RevokeRole("u", "r")), DENIED, false, vec![undo_role.clone()]),
        (change_password("u", "pw"), INVALID, false, vec![]),
        (Call::Auth(UserDelete("u")), INVALID, false, vec![add_user("u", "pw"), undo_role]),
    ];
    for (loss, reason, keeps_mark, undo) in cases {
        let mut watching = Watching::open(&stage.user().await).await;
        let mark = watching.next().await;
        assert!(mark.created && !mark.canceled, "{mark:?}");
        let id = watching.watch("k", "m").await;
        put(root, "k1").await;
        let event = watching.next().await;
        assert_eq!((event.watch_id, event.events.len()), (id, 1), "{event:?}");
        // One entry after the other: the second must not be seen.
        ask(root, loss.clone()).await;
        put(root, "k1").await;
        put(root, "mark").await;
        if keeps_mark {
            watching.ends(id, reason).await;
            let event = watching.next().await;
            assert_eq!((event.watch_id, event.events.len()), (mark.watch_id, 1), "{event:?}");
        } else {
            let ends = [watching.next().await, watching.next().await];
            for end in ends {
                assert!(end.canceled && end.cancel_reason == reason, "{loss:?}: {end:?}");
            }
        }
        for call in undo {
            ask(root, call).await;
        }
    }
}

/// Who watched without a name while nobody asked for one is asked once authentication is on; a change that touches nobody's
/// right ends nothing.
#[tokio::test]
async fn switching_on_ends_nameless_watches() {
    let stage = stage().await;
    ask(&stage.root, Call::Auth(Disable)).await;
    let mut watching = Watching::open(&stage.open).await;
    watching.next().await;
    let id = watching.watch("k", "").await;
    for call in [Call::Auth(RoleAdd("new")), grant("new", Read, "k", "")] {
        ask(&stage.open, call).await;
    }
    put(&stage.open, "k").await;
    assert_eq!(watching.next().await.watch_id, id);
    ask(&stage.open, Call::Auth(Enable)).await;
    let mut ended = [watching.next().await, watching.next().await];
    ended.sort_by_key(|end| end.watch_id);
    for (n, end) in ended.iter().enumerate() {
        let expected = (n as i64, true, NO_USER);
        assert_eq!((end.watch_id, end.canceled, end.cancel_reason.as_str()), expected);
    }
    // The stream itself lives on, and says the same to whoever tries again.
    watching
        .requests
        .send(wrap(pb::WatchCreateRequest { key: b("k"), ..Default::default() }))
        .await
        .unwrap();
    watching.ends(-1, NO_USER).await;
}
