//! Who may do what: users, roles, their permissions, the switch that turns it all on, and the tokens of whoever logged
//! in. It judges and remembers; where a judgement is due is known to `apply` and `api`.
//!
//! Reading order: [`KeySet`], [`AuthView`] (what is true at one moment, and all judgements), [`Change`] (how an entry
//! changes it), [`AuthStore`] (the present view for everyone), [`SimpleTokens`]. How passwords are hashed and claims are
//! signed is the doors' affair: it takes randomness, keys and time, and nothing of it is replayed.
//!
//! Source of the rules: `etcd:server/auth/store.go`; rows are those of etcd's `auth`, `authUsers` and `authRoles`.

mod change;
mod key_set;
mod rows;
mod simple_tokens;
mod store;
#[cfg(test)]
mod tests;
mod view;

pub use change::{Change, Refusal};
pub use key_set::KeySet;
pub use rows::Loader;
pub use simple_tokens::{SimpleTokens, token_index};
pub use store::AuthStore;
pub use view::{Access, AuthView, Caller, ROOT, User};
