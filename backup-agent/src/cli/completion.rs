//! `completion`: the shell's completion script, from the same definition as the help.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::command::CommandLine;
use crate::error::Result;

/// Flags of `completion`.
#[derive(Args, Debug)]
pub struct CompletionCommand {
    /// Shell to write the script for
    shell: Shell,
}

impl CompletionCommand {
    /// Runs the command.
    pub fn run(self) -> Result<()> {
        let mut command = CommandLine::command();
        clap_complete::generate(
            self.shell,
            &mut command,
            "quorate-backup-agent",
            &mut std::io::stdout(),
        );
        Ok(())
    }
}
