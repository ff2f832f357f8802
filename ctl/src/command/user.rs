//! `user`: add, delete, get, list, passwd, grant-role, revoke-role.

use super::key::text;
use crate::connect::Session;
use crate::failure::{Failure, Outcome};
use crate::password;
use crate::print::{Answer, Format};
use crate::terminal::{print_line, read_line};
use std::ffi::OsString;

/// Adds, changes, shows and deletes users
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Adds a user; the password is asked for if it is not given as NAME:PASSWORD
    Add {
        #[arg(value_name = "NAME")]
        name: Vec<OsString>,
        /// Ask for the password twice; with =false it is one line on stdin
        #[arg(long, default_value = "true", action = clap::ArgAction::Set)]
        interactive: bool,
        /// The password. Other users of this machine can see arguments: prefer stdin
        #[arg(long, default_value = "", hide_default_value = true)]
        new_user_password: String,
        /// No password: the user can only log in by certificate
        #[arg(long)]
        no_password: bool,
    },
    /// Deletes a user
    Delete {
        #[arg(value_name = "NAME")]
        name: Vec<OsString>,
    },
    /// Shows a user's roles
    Get {
        #[arg(value_name = "NAME")]
        name: Vec<OsString>,
        /// Show the permissions of the roles too
        #[arg(long)]
        detail: bool,
    },
    /// Lists all users
    List {
        #[arg(hide = true)]
        rest: Vec<OsString>,
    },
    /// Gives a user another password
    Passwd {
        #[arg(value_name = "NAME")]
        name: Vec<OsString>,
        /// Ask for the password twice; with =false it is one line on stdin
        #[arg(long, default_value = "true", action = clap::ArgAction::Set)]
        interactive: bool,
    },
    /// Gives a role to a user
    GrantRole {
        #[arg(value_name = "USER ROLE")]
        names: Vec<OsString>,
    },
    /// Takes a role from a user
    RevokeRole {
        #[arg(value_name = "USER ROLE")]
        names: Vec<OsString>,
    },
}

/// Runs one of them.
pub async fn run(args: Args, session: &Session) -> Outcome {
    let auth = session.client.auth();
    match args.action {
        Action::Add { name, interactive, new_user_password, no_password } => {
            let name = only_name(&name, "add")?;
            let (name, password) = new_user(&name, interactive, &new_user_password, no_password)?;
            let response = auth.user_add(&name, password.as_deref()).await?;
            done(session, format!("User {name} created"), response.header)
        }
        Action::Delete { name } => {
            let name = only_name(&name, "delete")?;
            let response = auth.user_delete(&name).await?;
            done(session, format!("User {name} deleted"), response.header)
        }
        Action::Get { name, detail } => get(&only_name(&name, "get")?, detail, session).await,
        Action::List { rest } => {
            if !rest.is_empty() {
                return Err(Failure::bad_args("user list command requires no arguments"));
            }
            session.printer.print(&Answer::UserList(auth.user_list().await?))
        }
        Action::Passwd { name, interactive } => {
            let name = only_name(&name, "passwd")?;
            let password = new_password(&name, interactive)?;
            let response = auth.user_change_password(&name, &password).await?;
            done(session, "Password updated".to_owned(), response.header)
        }
        Action::GrantRole { names } => {
            let missing = "user grant command requires user name and role name as its argument";
            let (user, role) = two_names(&names, missing)?;
            let response = auth.user_grant_role(&user, &role).await?;
            done(session, format!("Role {role} is granted to user {user}"), response.header)
        }
        Action::RevokeRole { names } => {
            let missing = "user revoke-role requires user name and role name as its argument";
            let (user, role) = two_names(&names, missing)?;
            let response = auth.user_revoke_role(&user, &role).await?;
            done(session, format!("Role {role} is revoked from user {user}"), response.header)
        }
    }
}

fn done(
    session: &Session,
    line: String,
    header: Option<quorate_client::proto::etcdserverpb::ResponseHeader>,
) -> Outcome {
    session.printer.print(&Answer::Done { line, header })
}

fn only_name(arguments: &[OsString], verb: &str) -> Outcome<String> {
    let [name] = arguments else {
        let text = format!("user {verb} command requires user name as its argument");
        return Err(Failure::bad_args(text));
    };
    Ok(text(name))
}

fn two_names(arguments: &[OsString], missing: &str) -> Outcome<(String, String)> {
    let [first, second] = arguments else { return Err(Failure::bad_args(missing)) };
    Ok((text(first), text(second)))
}

/// Name and password of a user to be added; no password means that there shall be none.
fn new_user(
    argument: &str,
    interactive: bool,
    given: &str,
    no_password: bool,
) -> Outcome<(String, Option<String>)> {
    if no_password {
        return Ok((argument.to_owned(), None));
    }
    if !given.is_empty() {
        return Ok((argument.to_owned(), Some(given.to_owned())));
    }
    match argument.split_once(':') {
        Some(("", _)) => Err(Failure::bad_args("empty user name is not allowed")),
        Some((name, password)) => Ok((name.to_owned(), Some(password.to_owned()))),
        None => Ok((argument.to_owned(), Some(new_password(argument, interactive)?))),
    }
}

/// A new password: asked for twice, or one line of stdin.
fn new_password(name: &str, interactive: bool) -> Outcome<String> {
    if !interactive {
        let line = read_line().unwrap_or_default();
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let first = password::ask(&format!("Password of {name}: "))?;
    if first.is_empty() {
        return Err(Failure::bad_args("empty password"));
    }
    let second = password::ask(&format!("Type password of {name} again for confirmation: "))?;
    if first != second {
        return Err(Failure::bad_args("given passwords are different"));
    }
    Ok(first)
}

async fn get(name: &str, detail: bool, session: &Session) -> Outcome {
    let auth = session.client.auth();
    let response = auth.user_get(name).await?;
    if !detail {
        return session.printer.print(&Answer::UserGet { name: name.to_owned(), response });
    }
    print_line(format!("User: {name}"));
    for role in response.roles {
        print_line("");
        let response = auth.role_get(&role).await?;
        session.printer.print(&Answer::RoleGet { name: role, response })?;
        if session.printer.format == Format::Protobuf {
            print_line("");
        }
    }
    Ok(())
}
