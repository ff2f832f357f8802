//! Program entry: arguments in, a member or a restored data directory out. All decisions live in the library.

use anyhow::Context as _;
use quorate_server::config::{Config, Invocation, parse};
use quorate_server::{logging, node};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let invocation = parse(std::env::args().skip(1), std::env::vars());
    let outcome = match invocation {
        Ok(Invocation::Print(text, code)) => {
            print!("{text}");
            return exit_code(code);
        }
        Ok(Invocation::Restore(args)) => node::restore(&args).context("failed to restore"),
        Ok(Invocation::Serve(values, warnings)) => match Config::from_values(&values) {
            Ok(config) => {
                if let Err(error) = logging::open(&config.log) {
                    eprintln!("quorate-server: {error}");
                    return ExitCode::FAILURE;
                }
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
                node::run(config).context("failed to run the member")
            }
            Err(error) => return refuse(&error),
        },
        Err(error) => return refuse(&error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quorate-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn refuse(error: &quorate_server::config::ConfigError) -> ExitCode {
    eprintln!("quorate-server: {}", error.to_string().trim_end());
    exit_code(error.exit_code())
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
