//! `role`: add, delete, get, list, grant-permission, revoke-permission.

use super::key::{bytes, text};
use crate::connect::Session;
use crate::failure::{Failure, Outcome};
use crate::print::{Answer, interval};
use bytes::Bytes;
use quorate_client::proto::authpb::{Permission, permission::Type};
use quorate_client::proto::etcdserverpb as pb;
use quorate_client::{from_key_end, prefix_end};
use std::ffi::OsString;

/// Adds, changes, shows and deletes roles
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Adds a role
    Add {
        #[arg(value_name = "ROLE")]
        name: Vec<OsString>,
    },
    /// Deletes a role, also from all users
    Delete {
        #[arg(value_name = "ROLE")]
        name: Vec<OsString>,
    },
    /// Shows a role's permissions
    Get {
        #[arg(value_name = "ROLE")]
        name: Vec<OsString>,
    },
    /// Lists all roles
    List {
        #[arg(hide = true)]
        rest: Vec<OsString>,
    },
    /// Permits a role to read, write or readwrite keys
    GrantPermission {
        #[arg(value_name = "ROLE TYPE KEY [END]")]
        words: Vec<OsString>,
        /// All keys that start with KEY
        #[arg(long)]
        prefix: bool,
        /// All keys from KEY on
        #[arg(long)]
        from_key: bool,
    },
    /// Takes a permission from a role; the interval must be the granted one
    RevokePermission {
        #[arg(value_name = "ROLE KEY [END]")]
        words: Vec<OsString>,
        /// All keys that start with KEY
        #[arg(long)]
        prefix: bool,
        /// All keys from KEY on
        #[arg(long)]
        from_key: bool,
    },
}

/// Runs one of them.
pub async fn run(args: Args, session: &Session) -> Outcome {
    let auth = session.client.auth();
    match args.action {
        Action::Add { name } => {
            let name = only_name(&name, "add")?;
            let response = auth.role_add(&name).await?;
            done(session, format!("Role {name} created"), response.header)
        }
        Action::Delete { name } => {
            let name = only_name(&name, "delete")?;
            let response = auth.role_delete(&name).await?;
            done(session, format!("Role {name} deleted"), response.header)
        }
        Action::Get { name } => {
            let name = only_name(&name, "get")?;
            let response = auth.role_get(&name).await?;
            session.printer.print(&Answer::RoleGet { name, response })
        }
        Action::List { rest } => {
            if !rest.is_empty() {
                return Err(Failure::bad_args("role list command requires no arguments"));
            }
            session.printer.print(&Answer::RoleList(auth.role_list().await?))
        }
        Action::GrantPermission { words, prefix, from_key } => {
            grant(words, prefix, from_key, session).await
        }
        Action::RevokePermission { words, prefix, from_key } => {
            revoke(words, prefix, from_key, session).await
        }
    }
}

fn done(session: &Session, line: String, header: Option<pb::ResponseHeader>) -> Outcome {
    session.printer.print(&Answer::Done { line, header })
}

fn only_name(arguments: &[OsString], verb: &str) -> Outcome<String> {
    let [name] = arguments else {
        let text = format!("role {verb} command requires role name as its argument");
        return Err(Failure::bad_args(text));
    };
    Ok(text(name))
}

async fn grant(words: Vec<OsString>, prefix: bool, from_key: bool, session: &Session) -> Outcome {
    if words.len() < 3 {
        return Err(Failure::bad_args(
            "role grant command requires role name, permission type, and key [endkey] as its argument",
        ));
    }
    let mut words = words.into_iter();
    let name = words.next().map(|word| text(&word)).unwrap_or_default();
    let kind = words.next().map(|word| text(&word)).unwrap_or_default();
    let perm_type = match kind.to_lowercase().as_str() {
        "read" => Type::Read,
        "write" => Type::Write,
        "readwrite" => Type::Readwrite,
        _ => return Err(Failure::bad_args(format!("invalid permission type: {kind}"))),
    };
    let (key, range_end) = interval_of(words, prefix, from_key)?;
    let permission = Permission { perm_type: perm_type as i32, key, range_end };
    let response = session.client.auth().role_grant_permission(&name, permission).await?;
    done(session, format!("Role {name} updated"), response.header)
}

async fn revoke(words: Vec<OsString>, prefix: bool, from_key: bool, session: &Session) -> Outcome {
    if words.len() < 2 {
        return Err(Failure::bad_args(
            "role revoke-permission command requires role name and key [endkey] as its argument",
        ));
    }
    let mut words = words.into_iter();
    let role = words.next().map(|word| text(&word)).unwrap_or_default();
    let (key, range_end) = interval_of(words, prefix, from_key)?;
    let line = if range_end.is_empty() {
        format!("Permission of key {} is revoked from role {role}", String::from_utf8_lossy(&key))
    } else {
        let shown = interval(&key, &range_end);
        let shown = String::from_utf8_lossy(&shown);
        format!("Permission of range {shown} is revoked from role {role}")
    };
    let request = pb::AuthRoleRevokePermissionRequest { role, key, range_end };
    let response = session.client.auth().role_revoke_permission(request).await?;
    done(session, line, response.header)
}

/// The interval that `KEY [END]` and the flags describe. The empty key means everything.
fn interval_of(
    mut words: impl Iterator<Item = OsString>,
    prefix: bool,
    from_key: bool,
) -> Outcome<(Bytes, Bytes)> {
    let key = words.next().map(bytes).unwrap_or_default();
    let end = words.next().map(bytes);
    if prefix && from_key {
        return Err(Failure::bad_args("--from-key and --prefix flags are mutually exclusive"));
    }
    let flag = if prefix { "--prefix" } else { "--from-key" };
    match end {
        Some(_) if prefix || from_key => {
            Err(Failure::bad_args(format!("unexpected endkey argument with {flag} flag")))
        }
        Some(end) => Ok((key, end)),
        None if key.is_empty() => Ok((Bytes::from_static(b"\0"), from_key_end())),
        None if prefix => {
            let end = prefix_end(&key);
            Ok((key, end))
        }
        None if from_key => Ok((key, from_key_end())),
        None => Ok((key, Bytes::new())),
    }
}
