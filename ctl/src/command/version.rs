//! `version`: who we are.

use crate::failure::Outcome;
use crate::print::{Answer, Printer};
use std::ffi::OsString;

/// The etcdctl whose behaviour this is. Printed when called by that name, because scripts compare it.
const ETCDCTL_VERSION: &str = "3.7.1";

/// The API version spoken.
const API_VERSION: &str = "3.7";

/// Shows the version
#[derive(clap::Args, Debug)]
pub struct Args {
    #[arg(hide = true)]
    rest: Vec<OsString>,
}

/// Prints it.
pub fn run(_args: &Args, program: &str, printer: &Printer) -> Outcome {
    let version =
        if program == crate::PROGRAM { env!("CARGO_PKG_VERSION") } else { ETCDCTL_VERSION };
    printer.print(&Answer::Plain {
        lines: vec![format!("{program} version: {version}"), format!("API version: {API_VERSION}")],
        fields: vec![("version", version.into()), ("apiVersion", API_VERSION.into())],
    })
}
