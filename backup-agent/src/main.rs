//! Program entry: reads the command line, starts the runtime, turns an error into one line, a hint and an exit code.

use std::process::ExitCode;

use clap::Parser;
use quorate_backup_agent::cli::{CommandLine, execute, init_logs};

fn main() -> anyhow::Result<ExitCode> {
    let line = CommandLine::parse();
    init_logs(&line);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // Boxed: the state of the largest command would not fit the main thread's stack comfortably in debug builds.
    let result = runtime.block_on(Box::pin(execute(line)));
    // A blocking read of a terminal must not hold the exit up.
    runtime.shutdown_background();
    let Err(error) = result else { return Ok(ExitCode::SUCCESS) };
    eprintln!("error: {error}");
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
    Ok(ExitCode::from(error.exit_code()))
}
