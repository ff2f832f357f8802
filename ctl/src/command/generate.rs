//! `generate DIR`: man pages and completion scripts as files, for packages. Hidden: users have `help` and `completion`.

use crate::failure::{Failure, Outcome, exit};
use clap_complete::Shell;
use std::path::{Path, PathBuf};

/// Writes man pages and completion scripts into DIR
#[derive(clap::Args, Debug)]
pub struct Args {
    dir: PathBuf,
}

/// Writes `man/*.1` and `completions/*`.
pub fn run(args: &Args, program: &'static str) -> Outcome {
    write(&args.dir, program).map_err(|error| {
        let text = format!("failed to write into {}: {error}", args.dir.display());
        Failure::new(exit::IO, text)
    })
}

fn write(dir: &Path, program: &'static str) -> std::io::Result<()> {
    let (man, completions) = (dir.join("man"), dir.join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    let definition = crate::cli::definition(program);
    clap_mangen::generate_to(definition.clone(), &man)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
        clap_complete::generate_to(shell, &mut definition.clone(), program, &completions)?;
    }
    Ok(())
}
