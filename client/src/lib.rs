//! Placeholder header, replaced by the first room.
