//! From the global flags to a client: endpoints, TLS, credentials. The only place that asks for a password to log in.

use crate::cli::Global;
use crate::failure::{Failure, Outcome};
use crate::print::Printer;
use quorate_client::{Client, Config, Credentials, Patience, Tls};
use std::path::{Path, PathBuf};

/// What every command gets: the flags, a client that is not connected yet, a printer.
pub struct Session {
    /// The global flags.
    pub flags: Global,
    /// The client; its calls end with the command timeout.
    pub client: Client,
    /// Prints in the chosen format.
    pub printer: Printer,
    /// `quoratectl`, or the name of the link it was called by.
    pub program: &'static str,
}

impl Session {
    /// Prepares a client. Dials nothing.
    ///
    /// # Errors
    /// Flags that cannot be used: unknown format, unreadable certificate, no endpoint.
    pub async fn open(flags: Global, program: &'static str) -> Outcome<Session> {
        let printer = Printer::from_flags(&flags, program)?;
        let endpoints = crate::discovery::endpoints(&flags).await?;
        let client = Client::connect(config(&flags, endpoints)?).await?;
        Ok(Session { flags, client, printer, program })
    }

    /// The endpoints as given.
    pub fn endpoints(&self) -> Vec<String> {
        self.client.endpoints()
    }
}

/// The client's configuration that the flags describe, for these endpoints.
fn config(flags: &Global, endpoints: Vec<String>) -> Outcome<Config> {
    let mut config = Config {
        dial_timeout: flags.dial_timeout,
        request_timeout: Some(flags.command_timeout()),
        keepalive_time: flags.keepalive_time,
        keepalive_timeout: flags.keepalive_timeout,
        tls: tls(flags, &endpoints)?,
        credentials: credentials(flags)?,
        patience: Patience::UntilTimeout,
        endpoints,
        ..Config::default()
    };
    if let Ok(limit @ 1..) = usize::try_from(flags.max_request_bytes) {
        config.send_limit_bytes = limit;
    }
    if let Ok(limit @ 1..) = usize::try_from(flags.max_recv_bytes) {
        config.receive_limit_bytes = limit;
    }
    Ok(config)
}

fn tls(flags: &Global, endpoints: &[String]) -> Outcome<Option<Tls>> {
    let (cert, key, ca) = (&flags.cert, &flags.key, &flags.cacert);
    for (name, value) in [("cert", cert), ("key", key), ("cacert", ca)] {
        if value.as_ref().is_some_and(|path| path.is_empty()) {
            return Err(Failure::bad_args(format!("empty string is passed to --{name} option")));
        }
    }
    if cert.is_some() != key.is_some() {
        let (key, cert) = (key.as_deref().unwrap_or(""), cert.as_deref().unwrap_or(""));
        let text = format!("KeyFile and CertFile must both be present[key: {key}, cert: {cert}]");
        return Err(Failure::bad_args(text));
    }
    [cert, key, ca].into_iter().flatten().try_for_each(|path| readable(Path::new(path)))?;
    // An endpoint without a scheme is secure exactly when TLS is configured, and skipping the verification alone
    // does not configure it.
    let is_https = endpoints.iter().any(|text| text.starts_with("https:"));
    // Whoever wants no insecure record wants TLS. Certificates must name the hosts, of which DNS says that they are the
    // domain's: etcdctl sets the domain as their name, but its addresses come with names of their own, which win.
    let is_secure_domain = !flags.insecure_discovery && !flags.discovery_srv.is_empty();
    let wanted = cert.is_some()
        || ca.is_some()
        || is_secure_domain
        || !flags.insecure_transport
        || (flags.insecure_skip_tls_verify && is_https);
    Ok(wanted.then(|| Tls {
        ca: ca.clone().map(PathBuf::from),
        cert: cert.clone().map(PathBuf::from),
        key: key.clone().map(PathBuf::from),
        server_name: None,
        skip_verify: flags.insecure_skip_tls_verify,
    }))
}

/// Fails with Go's words if a file cannot be opened.
fn readable(path: &Path) -> Outcome {
    match std::fs::File::open(path) {
        Ok(_) => Ok(()),
        Err(error) => {
            let text = format!("open {}: {}", path.display(), crate::go::io_text(&error));
            Err(Failure::bad_args(text))
        }
    }
}

fn credentials(flags: &Global) -> Outcome<Option<Credentials>> {
    if !flags.auth_jwt_token.is_empty() {
        return Ok(Some(Credentials::Token(flags.auth_jwt_token.clone())));
    }
    user_password(&flags.user, &flags.password)
}

/// Credentials from `name:password`, from both apart, or with a prompt.
pub fn user_password(user: &str, password: &str) -> Outcome<Option<Credentials>> {
    if user.is_empty() {
        return Ok(None);
    }
    let (user, password) = if !password.is_empty() {
        (user.to_owned(), password.to_owned())
    } else if let Some((user, password)) = user.split_once(':') {
        (user.to_owned(), password.to_owned())
    } else {
        (user.to_owned(), crate::password::ask("Password: ")?)
    };
    Ok(Some(Credentials::Password { user, password }))
}
