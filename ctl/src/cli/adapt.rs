//! Makes clap read a command line as Go's flag library does, whatever the command.
//!
//! - a switch may have a value: `--prefix`, `--prefix=false`;
//! - a flag given twice keeps the last value;
//! - a flag's value may start with a dash: `--limit -1`;
//! - commands may be shortened while they stay unambiguous.

use clap::{Arg, ArgAction, Command};
use std::any::TypeId;

/// Changes a definition, all subcommands included.
pub(super) fn adapt(command: Command) -> Command {
    let command = command
        .infer_subcommands(true)
        .args_override_self(true)
        .disable_colored_help(true)
        .color(clap::ColorChoice::Never)
        .max_term_width(100)
        .mut_args(adapt_arg);
    let command = if command.has_subcommands() {
        command.arg_required_else_help(true).subcommand_required(true)
    } else {
        command
    };
    command.mut_subcommands(adapt)
}

fn adapt_arg(arg: Arg) -> Arg {
    if arg.is_positional() {
        return arg;
    }
    // They are many and the same for every command: `options` lists them.
    let arg = if arg.is_global_set() && is_everywhere(&arg) { arg.hide(true) } else { arg };
    match arg.get_action() {
        ArgAction::SetTrue | ArgAction::Set if is_switch(&arg) => {
            let default = arg.get_default_values().first().is_some_and(|value| value == "true");
            arg.action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .default_value(if default { "true" } else { "false" })
                .value_parser(crate::go::parse_bool)
                .value_name("BOOL")
                .hide_default_value(!default)
        }
        ArgAction::Set | ArgAction::Append => arg.allow_hyphen_values(true),
        _ => arg,
    }
}

/// Whether a flag is one of every command, not only of a command's subcommands.
fn is_everywhere(arg: &Arg) -> bool {
    arg.get_help_heading() == Some(super::global::HEADING)
}

fn is_switch(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<bool>()
}
