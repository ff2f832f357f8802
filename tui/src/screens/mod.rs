//! The screens. Each is a function from state to cells; nothing here changes state.

mod footer;
mod frame;
mod keys;
mod members;

pub use frame::{MIN_HEIGHT, MIN_WIDTH, draw, draw_once};
