//! How a command fails: an exit code and the text after `Error: `. The one place that decides exit codes of client
//! errors.

use quorate_client::{ClientError, Code, EtcdError};

/// Result of a command.
pub type Outcome<T = ()> = Result<T, Failure>;

/// etcdctl's exit codes (`etcd:pkg/cobrautl/error.go`).
pub mod exit {
    /// Any error without a code of its own.
    pub const ERROR: u8 = 1;
    /// No usable connection.
    pub const BAD_CONNECTION: u8 = 2;
    /// Input that cannot be understood (txn, watch).
    pub const INVALID_INPUT: u8 = 3;
    /// A value that a flag does not take.
    pub const BAD_FEATURE: u8 = 4;
    /// The work was cut short.
    pub const INTERRUPTED: u8 = 5;
    /// Reading or writing failed.
    pub const IO: u8 = 6;
    /// Wrong arguments.
    pub const BAD_ARGS: u8 = 128;
    /// A signal ended us at a prompt, or a command that we ran: Go's -1.
    pub const SIGNALED: u8 = 255;
}

/// Why and how a command ends without success.
#[derive(Debug)]
pub struct Failure {
    /// The process's exit code.
    pub code: u8,
    /// Printed after `Error: `; empty if all has been said.
    pub text: String,
    /// What lies behind it, for the log; empty if nothing more is known.
    pub cause: String,
}

impl Failure {
    /// A failure with a text.
    pub fn new(code: u8, text: impl Into<String>) -> Failure {
        Failure { code, text: text.into(), cause: String::new() }
    }

    /// Wrong arguments.
    pub fn bad_args(text: impl Into<String>) -> Failure {
        Failure::new(exit::BAD_ARGS, text)
    }

    /// A failure about which everything has been printed.
    pub fn silent(code: u8) -> Failure {
        Failure::new(code, "")
    }

    /// The same failure with another exit code.
    pub fn with_code(self, code: u8) -> Failure {
        Failure { code, ..self }
    }

    /// The same failure with its text put into `template` at `{}`.
    pub fn within(self, before: &str, after: &str) -> Failure {
        Failure { text: format!("{before}{}{after}", self.text), ..self }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let code = match &error {
            ClientError::Config(text) if text.contains("no available endpoints") => {
                exit::BAD_CONNECTION
            }
            ClientError::Config(_) => exit::BAD_ARGS,
            // etcdctl logs in while it makes its client, so a refused password is a failed connection.
            error if error.etcd() == Some(EtcdError::AuthFailed) => exit::BAD_CONNECTION,
            _ => exit::ERROR,
        };
        let mut failure = Failure::new(code, error_text(&error));
        // etcdctl only says that time ran out; why no member answered is what an operator has to know.
        if let ClientError::Timeout { last: Some(last), .. } = &error {
            failure.cause = last.to_string();
        }
        failure
    }
}

/// An error as Go's client prints it: etcd's own errors by their text, the others with their gRPC code.
pub fn error_text(error: &ClientError) -> String {
    match error {
        ClientError::Server { status, .. } if error.etcd().is_none() => match status.code() {
            Code::Cancelled => "context canceled".to_owned(),
            Code::DeadlineExceeded => "context deadline exceeded".to_owned(),
            code => format!("rpc error: code = {code:?} desc = {}", status.message()),
        },
        other => other.message(),
    }
}
