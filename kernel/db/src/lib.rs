//! (being written)
mod asked;
pub use asked::{Actor, Asked, Context, LOCAL_OWNER, Origin, Trace, Unreadable};
