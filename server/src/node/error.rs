//! Why a member does not start or go on, in sentences for whoever runs it.

use std::error::Error;

/// Why a member does not start or go on. [`NodeError::is_refusal`] tells whether the operator's wish was at fault.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// What was asked for cannot be; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// A step failed.
    #[error("{step}: {source}")]
    Failed {
        /// What was being done.
        step: String,
        /// Why it failed.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// The room's result.
pub(super) type Result<T> = std::result::Result<T, NodeError>;

impl NodeError {
    /// True where the flags or the directory must change before another try.
    pub fn is_refusal(&self) -> bool {
        matches!(self, NodeError::Refused(_))
    }
}

/// Names the step in which something failed.
pub(super) trait Context<T> {
    /// Adds what was being done.
    fn context(self, step: impl Into<String>) -> Result<T>;
    /// The same, with a text that is only made when needed.
    fn with_context(self, step: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> Context<T> for std::result::Result<T, E> {
    fn context(self, step: impl Into<String>) -> Result<T> {
        self.with_context(|| step.into())
    }

    fn with_context(self, step: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| NodeError::Failed { step: step(), source: error.into() })
    }
}

/// Returns a refusal, made like a formatted text.
macro_rules! refuse {
    ($($text:tt)*) => {
        return Err($crate::node::error::NodeError::Refused(format!($($text)*)))
    };
}
pub(super) use refuse;
