//! Raw values by their kinds. What fits together and what does not is judged next door.

use super::parse::{Source, Values};
use super::{ConfigError, ListenUrl, UrlError, parse_duration, parse_url_list};
use std::path::PathBuf;
use std::time::Duration;

/// The raw values, read flag by flag.
pub(super) struct Reader<'a>(pub(super) &'a Values);

impl Reader<'_> {
    pub(super) fn text(&self, flag: &'static str) -> String {
        self.0.get(flag).map(|(value, _)| value.clone()).unwrap_or_default()
    }

    /// A comma-separated list without its empty parts.
    pub(super) fn list(&self, flag: &'static str) -> Vec<String> {
        let text = self.text(flag);
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    }

    pub(super) fn path(&self, flag: &'static str) -> Option<PathBuf> {
        Some(self.text(flag)).filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    /// A value that Go's flag package would refuse: code 2 where it came as a flag, 1 otherwise.
    pub(super) fn shape_error(&self, flag: &'static str, reason: String) -> ConfigError {
        match self.0.get(flag) {
            Some((value, Source::Flag)) => {
                ConfigError::Syntax(format!("invalid value {value:?} for flag -{flag}: {reason}"))
            }
            _ => ConfigError::Contradiction(format!("invalid --{flag}: {reason}")),
        }
    }

    /// By flag or variable; a file with only one of two URLs keeps the other's default, as in etcd.
    pub(super) fn is_given(&self, flag: &'static str) -> bool {
        let given =
            |(_, source): &(String, Source)| matches!(source, Source::Flag | Source::Environment);
        self.0.get(flag).is_some_and(given)
    }

    pub(super) fn switch(&self, flag: &'static str) -> Result<bool, ConfigError> {
        let value = self.text(flag);
        match value.as_str() {
            "true" | "1" | "t" | "T" | "TRUE" | "True" => Ok(true),
            "false" | "0" | "f" | "F" | "FALSE" | "False" => Ok(false),
            _ => Err(ConfigError::Malformed { flag, value, expected: "true or false is needed" }),
        }
    }

    pub(super) fn number<T: std::str::FromStr>(
        &self,
        flag: &'static str,
    ) -> Result<T, ConfigError> {
        let value = self.text(flag);
        value.parse().map_err(|_| ConfigError::malformed(flag, &value))
    }

    /// A number whose 0 stands for another default.
    pub(super) fn number_or(
        &self,
        flag: &'static str,
        default: usize,
    ) -> Result<usize, ConfigError> {
        Ok(match self.number(flag)? {
            0 => default,
            number => number,
        })
    }

    pub(super) fn time(&self, flag: &'static str) -> Result<Duration, ConfigError> {
        let value = self.text(flag);
        let expected = "a duration such as 100ms or 5m is needed";
        parse_duration(&value).ok_or(ConfigError::Malformed { flag, value, expected })
    }

    pub(super) fn time_or(
        &self,
        flag: &'static str,
        default: Duration,
    ) -> Result<Duration, ConfigError> {
        let time = self.time(flag)?;
        Ok(if time.is_zero() { default } else { time })
    }

    pub(super) fn urls(&self, flag: &'static str) -> Result<Vec<ListenUrl>, ConfigError> {
        parse_url_list(&self.text(flag)).map_err(|error| self.url_error(flag, error))
    }

    /// etcd's flag package refuses what is no URL on the command line, etcd itself what comes from elsewhere.
    fn url_error(&self, flag: &'static str, error: UrlError) -> ConfigError {
        match self.0.get(flag) {
            Some((_, Source::Flag)) => self.shape_error(flag, error.to_string()),
            _ => ConfigError::Urls(flag, error),
        }
    }

    /// Listen URLs of a flag that may be empty.
    pub(super) fn listen_urls_or_none(
        &self,
        flag: &'static str,
    ) -> Result<Vec<ListenUrl>, ConfigError> {
        if self.text(flag).is_empty() { Ok(Vec::new()) } else { self.listen_urls(flag) }
    }

    pub(super) fn listen_urls(&self, flag: &'static str) -> Result<Vec<ListenUrl>, ConfigError> {
        let urls = self.urls(flag)?;
        for url in &urls {
            url.check_bindable().map_err(|error| ConfigError::Urls(flag, error))?;
        }
        Ok(urls)
    }

    /// Origins between commas: URLs, or `*`.
    pub(super) fn origins(&self, flag: &'static str) -> Result<Vec<String>, ConfigError> {
        let origins = self.list(flag);
        for origin in origins.iter().filter(|origin| *origin != "*") {
            parse_url_list(origin).map_err(|error| self.url_error(flag, error))?;
        }
        Ok(origins)
    }
}

/// A word out of a few.
pub(super) fn one_of<const N: usize>(
    read: &Reader<'_>,
    flag: &'static str,
    allowed: [&'static str; N],
) -> Result<String, ConfigError> {
    let value = read.text(flag);
    if allowed.contains(&value.as_str()) {
        return Ok(value);
    }
    let text =
        format!("invalid value {value:?} for --{flag}: one of {} is needed", allowed.join(", "));
    Err(ConfigError::Contradiction(text))
}
