//! Users, roles and permissions, by password and by the CommonName of a certificate.

use etcd_client::{
    DeleteOptions, GetOptions, Permission, PermissionType, PutOptions, RoleRevokePermissionOptions,
    Txn, TxnOp, UserAddOptions, WatchOptions,
};

use crate::suite::{Outcome, Suite, refused, text, want};
use crate::watches::take;

pub async fn run(suite: &Suite) {
    suite.check("auth/set-up", set_up(suite)).await;
    suite.check("auth/enabled", enabled(suite)).await;
    suite.check("auth/rights", rights(suite)).await;
    suite.check("auth/changes", changes(suite)).await;
    suite.check("auth/disabled", disabled(suite)).await;
}

async fn set_up(suite: &Suite) -> Outcome {
    let mut etcd = suite.client.clone();
    let early = refused(etcd.auth_enable().await)?;
    etcd.user_add("root", "root's word", None).await?;
    etcd.user_add("alice", "alice's word", None).await?;
    etcd.user_add("cert", "", Some(UserAddOptions::new().with_no_pwd())).await?;
    let twice = refused(etcd.user_add("alice", "x", None).await)?;
    for (role, user) in [("root", "root"), ("alice's", "alice")] {
        etcd.role_add(role).await?;
        etcd.user_grant_role(user, role).await?;
    }
    let unknown = refused(etcd.user_grant_role("alice", "none").await)?;
    for right in [
        Permission::read_write("au/").with_prefix(),
        Permission::read("ro"),
        Permission::write("wo").with_range_end("wp"),
        Permission::new(PermissionType::Read, "zz").with_from_key(),
    ] {
        etcd.role_grant_permission("alice's", right).await?;
    }
    let role = etcd.role_get("alice's").await?.permissions();
    let right = |right: &Permission| format!("{}-{:?}", text(right.key()), right.range_end());
    let rights: Vec<String> = role.iter().map(right).collect();
    let (users, roles) = (etcd.user_list().await?, etcd.role_list().await?);
    let alice = etcd.user_get("alice").await?;
    let (name, password) = ("alice".to_owned(), "alice's word".to_owned());
    let off = refused(etcd.auth_client().authenticate(name, password).await)?;
    etcd.auth_enable().await?;
    let lists = format!("{:?} {:?} {:?}", users.users(), roles.roles(), alice.roles());
    Ok(format!("{early}; {twice}; {unknown}; {rights:?}; {lists}; {off}"))
}

async fn enabled(suite: &Suite) -> Outcome {
    let nobody = refused(suite.client.kv_client().get("au/a", None).await)?;
    let wrong = refused(suite.connect("machine", Some(("alice", "wrong"))).await)?;
    let unknown = refused(suite.connect("machine", Some(("bob", "wrong"))).await)?;
    let nameless = refused(suite.connect("machine", Some(("cert", "x"))).await)?;
    let mut root = suite.connect("machine", Some(("root", "root's word"))).await?;
    root.put("anywhere", "1", None).await?;
    let mut certified = suite.connect("root", None).await?;
    want("by certificate", certified.get("anywhere", None).await?.count(), 1)?;
    Ok(format!("{nobody}; {wrong}; {unknown}; {nameless}"))
}

async fn rights(suite: &Suite) -> Outcome {
    let mut alice = suite.connect("machine", Some(("alice", "alice's word"))).await?;
    let mut root = suite.connect("root", None).await?;
    alice.put("au/a", "1", None).await?;
    alice.get("ro", None).await?;
    alice.put("wo1", "1", None).await?;
    let lease = root.lease_grant(600, None).await?.id();
    root.put("secret", "1", Some(PutOptions::new().with_lease(lease))).await?;
    let (open, hidden) = (TxnOp::get("au/a", None), TxnOp::get("secret", None));
    let mut words = vec![
        refused(alice.put("ro", "1", None).await)?,
        refused(alice.get("wo1", None).await)?,
        refused(alice.get("au/", Some(GetOptions::new().with_from_key())).await)?,
        refused(alice.delete("", Some(DeleteOptions::new().with_all_keys())).await)?,
        refused(alice.txn(Txn::new().and_then([open]).or_else([hidden])).await)?,
        refused(alice.lease_revoke(lease).await)?,
        refused(alice.role_add("eve").await)?,
        refused(alice.defragment().await)?,
        refused(alice.lock("elsewhere", None).await)?,
        alice.status().await?.version().to_owned(),
    ];
    words.push(match alice.watch("secret", None).await {
        Ok(mut stream) => {
            let answer = stream.message().await?.ok_or("the watch has ended")?;
            format!("{} {}", answer.canceled(), answer.cancel_reason())
        }
        Err(error) => refused::<()>(Err(error))?,
    });
    let mut stream = alice.watch("au/", Some(WatchOptions::new().with_prefix())).await?;
    root.put("au/b", "2", None).await?;
    want("an event", take(&mut stream, 1).await?.len(), 1)?;
    Ok(words.join("; "))
}

async fn changes(suite: &Suite) -> Outcome {
    let mut alice = suite.connect("machine", Some(("alice", "alice's word"))).await?;
    let mut root = suite.connect("root", None).await?;
    let revoke = RoleRevokePermissionOptions::new().with_prefix();
    root.role_revoke_permission("alice's", "au/", Some(revoke)).await?;
    let mut words = vec![refused(alice.put("au/a", "2", None).await)?];
    root.user_change_password("alice", "another").await?;
    words.push(refused(suite.connect("machine", Some(("alice", "alice's word"))).await)?);
    alice.update_user(Some(("alice".to_owned(), "another".to_owned()))).await?;
    alice.put("wo1", "2", None).await?;
    alice.refresh_token().await?;
    root.user_revoke_role("alice", "alice's").await?;
    words.push(refused(alice.put("wo1", "3", None).await)?);
    root.role_delete("alice's").await?;
    words.push(refused(root.role_get("alice's").await)?);
    root.user_delete("alice").await?;
    words.push(refused(root.user_get("alice").await)?);
    words.push(refused(root.user_delete("root").await)?);
    Ok(words.join("; "))
}

async fn disabled(suite: &Suite) -> Outcome {
    suite.connect("root", None).await?.auth_disable().await?;
    suite.client.kv_client().put("open", "again", None).await?;
    Ok(text(suite.client.kv_client().get("open", None).await?.kvs()[0].value()))
}
