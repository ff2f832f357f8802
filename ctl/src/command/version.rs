//! `version`: who we are.

use crate::failure::Outcome;
use crate::terminal::print_line;
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
pub fn run(_args: &Args, program: &str) -> Outcome {
    let version =
        if program == crate::PROGRAM { env!("CARGO_PKG_VERSION") } else { ETCDCTL_VERSION };
    print_line(format!("{program} version: {version}"));
    print_line(format!("API version: {API_VERSION}"));
    Ok(())
}
