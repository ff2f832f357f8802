//! Makes sled 0.34.7 sync for real; not a place for anything else.
