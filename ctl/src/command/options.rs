//! `options` lists the global flags; `--debug` shows their values.

use crate::connect::Session;
use crate::failure::Outcome;
use crate::go::format_duration;
use crate::terminal::{complain, print_text};
use std::ffi::OsString;

/// Lists the options that every command takes
#[derive(clap::Args, Debug)]
pub struct Args {
    #[arg(hide = true)]
    rest: Vec<OsString>,
}

/// Prints the help of the global flags.
pub fn run(program: &'static str) -> Outcome {
    let mut list = clap::Command::new(program)
        .help_template("The following options can be passed to any command:\n\n{all-args}\n")
        .disable_help_flag(true);
    for flag in crate::cli::definition(program).get_arguments() {
        list = list.arg(flag.clone().help_heading(None::<&str>).hide(false));
    }
    print_text(list.render_help().to_string());
    Ok(())
}

/// With `--debug`, the settings in effect. Secrets are only said to be set.
pub fn show_settings(session: &Session) {
    let flags = &session.flags;
    if !flags.debug {
        return;
    }
    let path = |path: &Option<String>| path.clone().unwrap_or_default();
    let secret = |text: &str| if text.is_empty() { "" } else { "***" }.to_owned();
    let user = flags.user.split(':').next().unwrap_or_default().to_owned();
    let settings = [
        ("AUTH_JWT_TOKEN", secret(&flags.auth_jwt_token)),
        ("CACERT", path(&flags.cacert)),
        ("CERT", path(&flags.cert)),
        ("COMMAND_TIMEOUT", format_duration(flags.command_timeout())),
        ("DEBUG", flags.debug.to_string()),
        ("DIAL_TIMEOUT", format_duration(flags.dial_timeout)),
        ("DISCOVERY_SRV", flags.discovery_srv.clone()),
        ("DISCOVERY_SRV_NAME", flags.discovery_srv_name.clone()),
        ("ENDPOINTS", format!("[{}]", flags.endpoints.join(","))),
        ("HEX", flags.hex.to_string()),
        ("INSECURE_DISCOVERY", flags.insecure_discovery.to_string()),
        ("INSECURE_SKIP_TLS_VERIFY", flags.insecure_skip_tls_verify.to_string()),
        ("INSECURE_TRANSPORT", flags.insecure_transport.to_string()),
        ("KEEPALIVE_TIME", format_duration(flags.keepalive_time)),
        ("KEEPALIVE_TIMEOUT", format_duration(flags.keepalive_timeout)),
        ("KEY", path(&flags.key)),
        ("MAX_RECV_BYTES", flags.max_recv_bytes.to_string()),
        ("MAX_REQUEST_BYTES", flags.max_request_bytes.to_string()),
        ("PASSWORD", secret(&flags.password)),
        ("USER", user),
        ("WRITE_OUT", flags.write_out.clone()),
    ];
    for (name, value) in settings {
        complain(format!("ETCDCTL_{name}={value}"));
    }
}
