//! Program entry: flags, then the dashboard or one picture. Errors become one line and an exit code here.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches};
use quorate_client::Client;
use quorate_client::model::{CollectorOptions, Thresholds};
use quorate_tui::app::Settings;
use quorate_tui::cli::{Flags, Output, generate};
use quorate_tui::look::Look;
use quorate_tui::{once, run};

/// Columns of `--once` where there is no terminal.
const TEXT_WIDTH: u16 = 120;

fn main() -> ExitCode {
    let matches = Flags::command().get_matches();
    let is_user_typed = matches.value_source("user") == Some(ValueSource::CommandLine);
    let flags = Flags::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match start(&flags, is_user_typed) {
        Ok(code) => code,
        Err(error) => {
            // Standard error may be gone with the terminal.
            let _ = writeln!(std::io::stderr(), "quorate-tui: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(flags: &Flags, is_user_typed: bool) -> anyhow::Result<ExitCode> {
    if let Some(folder) = &flags.generate {
        generate(folder).with_context(|| format!("cannot write into {}", folder.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let password = std::env::var("ETCDCTL_PASSWORD").ok();
    let config = flags.config(password, is_user_typed)?;
    let settings = Settings {
        endpoints: config.endpoints.clone(),
        interval: flags.refresh,
        thresholds: Thresholds::default(),
    };
    let options = CollectorOptions {
        config: config.clone(),
        interval: flags.refresh,
        timeout: flags.timeout,
    };
    // Few tasks, little work: two threads keep the dashboard's own load low.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let code = runtime.block_on(async {
        // Refuses unusable endpoints and TLS files before the screen is taken.
        let client = Client::connect(config).await.map_err(|error| anyhow::anyhow!("{error}"))?;
        match flags.output.or(flags.once.then_some(Output::Text)) {
            Some(output) => print_once(output, settings, options, flags).await,
            None => Ok(run::run(settings, options, client, look(flags)).await?),
        }
    });
    // A call that hangs in the resolver must not hold the program.
    runtime.shutdown_background();
    code
}

async fn print_once(
    output: Output,
    settings: Settings,
    options: CollectorOptions,
    flags: &Flags,
) -> anyhow::Result<ExitCode> {
    let picture = once::picture(options).await.map_err(anyhow::Error::msg)?;
    let is_answered = picture.cluster_id.last().is_some();
    let text = match output {
        Output::Json => once::json(settings, picture)?,
        Output::Text => {
            let width = match crossterm::terminal::size() {
                Ok((width, _)) if std::io::stdout().is_terminal() => width,
                _ => TEXT_WIDTH,
            };
            once::text(settings, picture, &look(flags), width)
        }
    };
    writeln!(std::io::stdout(), "{text}").context("cannot print")?;
    Ok(if is_answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn look(flags: &Flags) -> Look {
    // no-color.org: present and not empty.
    let has_no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    Look::new(!(flags.no_color || has_no_color || is_dumb), !flags.ascii && is_utf8())
}

/// Whether the locale says UTF-8; no locale at all counts as yes, as in most containers.
fn is_utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(std::env::var_os);
    let locale = set.map(|value| value.to_string_lossy().to_lowercase()).find(|v| !v.is_empty());
    locale.is_none_or(|locale| locale.contains("utf-8") || locale.contains("utf8"))
}
