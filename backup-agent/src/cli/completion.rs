//! `completion`: the shell's completion script, from the same definition as the help. `generate`: those and the man pages
//! as files, for packages.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::command::CommandLine;
use crate::error::{AgentError, Result};

const NAME: &str = "quorate-backup-agent";

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
        clap_complete::generate(self.shell, &mut command, NAME, &mut std::io::stdout());
        Ok(())
    }
}

/// Flags of `generate`.
#[derive(Args, Debug)]
pub struct GenerateCommand {
    /// Folder to write `man/` and `completions/` into
    dir: PathBuf,
}

impl GenerateCommand {
    /// Runs the command.
    pub fn run(self) -> Result<()> {
        self.write().map_err(AgentError::io("write into", &self.dir))
    }

    fn write(&self) -> std::io::Result<()> {
        let (man, completions) = (self.dir.join("man"), self.dir.join("completions"));
        std::fs::create_dir_all(&man)?;
        std::fs::create_dir_all(&completions)?;
        clap_mangen::generate_to(CommandLine::command(), &man)?;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            clap_complete::generate_to(shell, &mut CommandLine::command(), NAME, &completions)?;
        }
        Ok(())
    }
}
