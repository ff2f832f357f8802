//! Chooses the format and sends each answer to its file.

use super::{Answer, fields, json, protobuf, simple, table};
use crate::cli::Global;
use crate::failure::{Failure, Outcome, exit};

/// An output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines for people.
    Simple,
    /// One line of JSON, as Go encodes the messages.
    Json,
    /// One `"Name" : value` per line.
    Fields,
    /// The message as it came from the wire.
    Protobuf,
    /// A drawn table.
    Table,
}

impl Format {
    /// The format of this name.
    ///
    /// # Errors
    /// etcdctl's text and code.
    pub fn parse(name: &str) -> Outcome<Format> {
        match name {
            "simple" => Ok(Format::Simple),
            "json" => Ok(Format::Json),
            "fields" => Ok(Format::Fields),
            "protobuf" => Ok(Format::Protobuf),
            "table" => Ok(Format::Table),
            _ => Err(Failure::new(exit::BAD_FEATURE, "unsupported output format")),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Format::Simple => "simple",
            Format::Json => "json",
            Format::Fields => "fields",
            Format::Protobuf => "protobuf",
            Format::Table => "table",
        }
    }
}

/// Prints answers in one format.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    /// The format.
    pub format: Format,
    /// Keys, values and ids in hexadecimal, where the format has that.
    pub hex: bool,
    /// Called by the name of etcdctl or etcdutl: then plain text stays plain text, as scripts expect.
    pub is_twin: bool,
}

impl Printer {
    /// The printer that the global flags ask for.
    ///
    /// # Errors
    /// An unknown format.
    pub fn from_flags(flags: &Global, program: &str) -> Outcome<Printer> {
        let format = Format::parse(&flags.write_out)?;
        Ok(Printer { format, hex: flags.hex, is_twin: program != crate::PROGRAM })
    }

    /// Whether plain text too is printed for programs to read.
    pub fn is_structured(&self) -> bool {
        matches!(self.format, Format::Json | Format::Fields) && !self.is_twin
    }

    /// Prints an answer to stdout.
    ///
    /// # Errors
    /// The format has no form for it.
    pub fn print(&self, answer: &Answer) -> Outcome {
        let is_plain = matches!(answer, Answer::Plain { .. });
        let format = if is_plain && !self.is_structured() { Format::Simple } else { self.format };
        let printed = match format {
            Format::Simple => simple::print(answer, self.hex),
            Format::Json => json::print(answer, self.hex),
            Format::Fields => fields::print(answer, self.hex),
            Format::Protobuf => return protobuf::print(answer),
            Format::Table => table::print(answer),
        };
        printed.ok_or_else(|| unsupported(self.format))
    }
}

pub(super) fn unsupported(format: Format) -> Failure {
    let text = format!("{} not supported as output format", format.name());
    Failure::new(exit::BAD_FEATURE, text)
}
