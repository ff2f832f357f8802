//! Whole call sequences of clients that know only the gateway: Patroni's, and those of the Python client `etcd3-py`,
//! each compared step by step with real etcd 3.7.1.

use super::gateway::both;
use super::raw::{Answer, Ask, ask, get, mask, post, send};

/// Asks, and notes what was seen.
struct Client<'a> {
    url: &'a str,
    token: Option<String>,
    seen: Vec<String>,
}

impl Client<'_> {
    fn new(url: &str) -> Client<'_> {
        Client { url, token: None, seen: Vec::new() }
    }

    fn ask(&mut self, path: &str, body: &str) -> Answer {
        let mut request: Ask = post(path, body);
        if let Some(token) = &self.token {
            request = request.header("Authorization", token);
        }
        let answer = ask(self.url, &request);
        self.seen.push(format!("{path} {body}\n{}", answer.seen()));
        answer
    }

    fn field(&mut self, path: &str, body: &str, name: &str) -> String {
        let answer = self.ask(path, body);
        let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        json[name].as_str().unwrap_or_else(|| panic!("{name} in {}", answer.body)).to_owned()
    }

    /// What was seen, without what a server may choose freely.
    fn seen(self, chosen: &[&str]) -> String {
        let mut text = self.seen.join("\n");
        for value in chosen {
            text = text.replace(value, "CHOSEN");
        }
        mask(&text)
    }
}

/// Patroni (`patroni/dcs/etcd3.py`): version, members, a lease, the leader key won, kept and lost, state read whole,
/// and one long watch on all of it.
#[test]
fn patroni_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, etcd) = both(folder.path(), &[]);
    let seen = |url: &str| {
        let mut client = Client::new(url);
        client.seen.push(ask(url, &get("/version")).seen());
        let members = ask(url, &post("/v3/cluster/member/list", "{}"));
        assert!(members.body.contains(&format!(r#""clientURLs":["{url}"]"#)), "{}", members.body);
        let prefix = r#""key":"L3NlcnZpY2UvYmF0bWFuLw==","range_end":"L3NlcnZpY2UvYmF0bWFuMA==""#;
        client.ask("/v3/kv/range", &format!("{{{prefix},\"serializable\":false}}"));
        let lease = client.field("/v3/lease/grant", r#"{"TTL":30}"#, "ID");
        let create =
            format!(r#"{{"create_request":{{{prefix},"start_revision":2,"prev_kv":true}}}}"#);
        let mut watch = send(url, &post("/v3/watch", &create));
        let leader = "L3NlcnZpY2UvYmF0bWFuL2xlYWRlcg==";
        let win = format!(
            r#"{{"compare":[{{"key":"{leader}","target":"CREATE","create_revision":"0"}}],"success":[{{"request_put":{{"key":"{leader}","value":"bm9kZTE=","lease":"{lease}"}}}}]}}"#
        );
        client.ask("/v3/kv/txn", &win);
        client.ask("/v3/kv/txn", &win);
        let keep = format!(r#"{{"ID":"{lease}"}}"#);
        client.ask("/v3/lease/keepalive", &keep);
        let update = format!(
            r#"{{"compare":[{{"key":"{leader}","target":"MOD","mod_revision":"2"}}],"success":[{{"request_put":{{"key":"{leader}","value":"bm9kZTI=","lease":"{lease}"}}}}]}}"#
        );
        client.ask("/v3/kv/txn", &update);
        client.ask("/v3/kv/put", &format!(r#"{{"key":"L3NlcnZpY2UvYmF0bWFuL21lbWJlcnMvYQ==","value":"e30=","lease":"{lease}"}}"#));
        client.ask("/v3/kv/range", &format!("{{{prefix}}}"));
        client.ask("/v3/kv/deleterange", &format!(r#"{{"key":"{leader}"}}"#));
        client.ask("/v3/kv/put", r#"{"key":"YQ==","lease":"1"}"#);
        client.ask("/v3/lease/revoke", &keep);
        client.ask("/v3/lease/keepalive", &keep);
        // Won, updated, joined, resigned, gone with the lease.
        client.seen.extend(watch.lines(6));
        client.seen(&[&lease])
    };
    assert_eq!(seen(&ours.members[0].client_url), seen(&etcd.members[0].client_url));
}

/// Users over the gateway: made, enabled, logged in, refused with 401 and 403, and disabled again.
#[test]
fn users_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, etcd) = both(folder.path(), &["--bcrypt-cost=4"]);
    let seen = |url: &str| {
        let mut client = Client::new(url);
        for (path, body) in [
            ("/v3/auth/status", "{}"),
            ("/v3/auth/enable", "{}"),
            ("/v3/auth/role/add", r#"{"name":"root"}"#),
            ("/v3/auth/role/add", r#"{"name":"r"}"#),
            (
                "/v3/auth/role/grant",
                r#"{"name":"r","perm":{"permType":"READWRITE","key":"YQ==","range_end":"Yg=="}}"#,
            ),
            ("/v3/auth/role/get", r#"{"role":"r"}"#),
            ("/v3/auth/role/revoke", r#"{"role":"r","key":"eA=="}"#),
            ("/v3/auth/user/add", r#"{"name":"root","password":"pw"}"#),
            ("/v3/auth/user/add", r#"{"name":"u","password":"pw"}"#),
            ("/v3/auth/user/add", r#"{"name":"n","options":{"no_password":true}}"#),
            ("/v3/auth/user/grant", r#"{"user":"root","role":"root"}"#),
            ("/v3/auth/user/grant", r#"{"user":"u","role":"r"}"#),
            ("/v3/auth/user/get", r#"{"name":"u"}"#),
            ("/v3/auth/user/changepw", r#"{"name":"u","password":"other"}"#),
            ("/v3/auth/user/delete", r#"{"name":"n"}"#),
            ("/v3/auth/user/revoke", r#"{"name":"u","role":"none"}"#),
            ("/v3/auth/user/list", "{}"),
            ("/v3/auth/role/list", ""),
            ("/v3/auth/enable", "{}"),
            ("/v3/kv/range", r#"{"key":"YQ=="}"#),
            ("/v3/auth/authenticate", r#"{"name":"u","password":"pw"}"#),
        ] {
            client.ask(path, body);
        }
        let token =
            client.field("/v3/auth/authenticate", r#"{"name":"u","password":"other"}"#, "token");
        client.token = Some(token.clone());
        client.ask("/v3/kv/put", r#"{"key":"YQ==","value":"MQ=="}"#);
        client.ask("/v3/kv/range", r#"{"key":"YQ=="}"#);
        client.ask("/v3/kv/put", r#"{"key":"eA=="}"#);
        client.ask("/v3/auth/user/list", "{}");
        client.token = Some("nonsense.1".to_owned());
        client.ask("/v3/kv/range", r#"{"key":"YQ=="}"#);
        client.token = None;
        let root =
            client.field("/v3/auth/authenticate", r#"{"name":"root","password":"pw"}"#, "token");
        client.token = Some(root.clone());
        client.ask("/v3/auth/role/delete", r#"{"name":"r"}"#);
        client.ask("/v3/auth/disable", "{}");
        client.seen(&[&token, &root])
    };
    assert_eq!(seen(&ours.members[0].client_url), seen(&etcd.members[0].client_url));
}

/// Locks and elections over the gateway, waiting calls and a stream among them.
#[test]
fn locks_and_elections_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, etcd) = both(folder.path(), &[]);
    let seen = |url: &str| {
        let mut client = Client::new(url);
        client.ask("/v3/lease/grant", r#"{"TTL":600,"ID":7}"#);
        client.ask("/v3/election/leader", r#"{"name":"eA=="}"#);
        let key = client.field("/v3/lock/lock", r#"{"name":"bA==","lease":7}"#, "key");
        client.ask("/v3/lock/unlock", &format!(r#"{{"key":"{key}"}}"#));
        client.ask("/v3/lock/lock", r#"{"name":"bA==","lease":99}"#);
        let answer =
            client.ask("/v3/election/campaign", r#"{"name":"eA==","lease":7,"value":"MQ=="}"#);
        let won: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let leader = won["leader"].to_string();
        client.ask("/v3/election/leader", r#"{"name":"eA=="}"#);
        let mut observed = send(url, &post("/v3/election/observe", r#"{"name":"eA=="}"#));
        client.seen.extend(observed.lines(1));
        client.ask("/v3/election/proclaim", &format!(r#"{{"leader":{leader},"value":"Mg=="}}"#));
        client.seen.extend(observed.lines(1));
        client.ask("/v3/election/resign", &format!(r#"{{"leader":{leader}}}"#));
        client.ask("/v3/election/resign", "{}");
        client.ask("/v3/election/proclaim", "{}");
        client.seen(&[])
    };
    assert_eq!(seen(&ours.members[0].client_url), seen(&etcd.members[0].client_url));
}
