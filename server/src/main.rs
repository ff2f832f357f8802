//! Program entry: arguments in, a member or a restored data directory out. All decisions live in the library.

use anyhow::Context as _;
use quorate_server::config::{Config, Invocation, parse};
use quorate_server::node::StopSignal;
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
                let ended = node::run(config).context("failed to run the member");
                ended.map(|signal| signal.into_iter().for_each(StopSignal::end_process))
            }
            Err(error) => return refuse(&error),
        },
        Err(error) => return refuse(&error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quorate-server: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// The steps that failed, outermost first. Several errors name their cause in their own text: it is told once.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}

fn refuse(error: &quorate_server::config::ConfigError) -> ExitCode {
    eprintln!("quorate-server: {}", error.to_string().trim_end());
    exit_code(error.exit_code())
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::told;

    /// A cause that the text before it already names is not said again.
    #[test]
    fn a_cause_is_told_once() {
        let cause = std::io::Error::other("disk full");
        let named = anyhow::Error::new(cause).context("failed to write a: disk full. Make room.");
        assert_eq!(told(&named), "failed to write a: disk full. Make room.");
        let unnamed = anyhow::anyhow!("disk full").context("failed to start");
        assert_eq!(told(&unnamed), "failed to start: disk full");
    }
}
