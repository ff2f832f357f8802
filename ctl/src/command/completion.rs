//! `completion`: scripts that complete command lines in a shell, made from the same definitions as the parser.

use super::key::text;
use crate::failure::{Failure, Outcome, exit};
use clap_complete::Shell;
use std::ffi::OsString;

/// Prints a completion script for bash, zsh, fish or powershell
///
/// For bash: `source <(quoratectl completion bash)`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[arg(value_name = "SHELL")]
    shell: Vec<OsString>,
}

/// Prints the script.
pub fn run(args: &Args, program: &'static str) -> Outcome {
    let [shell] = args.shell.as_slice() else {
        let count = args.shell.len();
        return Err(Failure::new(exit::ERROR, format!("accepts 1 arg(s), received {count}")));
    };
    let shell = match text(shell).as_str() {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        "powershell" => Shell::PowerShell,
        other => {
            let quoted = crate::go::quote(other.as_bytes());
            let text = format!("invalid argument {quoted} for \"{program} completion\"");
            return Err(Failure::new(exit::ERROR, text));
        }
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::cli::definition(program), program, &mut script);
    crate::terminal::print_bytes(&script);
    Ok(())
}
