//! How many requests go through.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `gcra` | whether there is room for one more |
//! | `store` | what is known of a client, and of how many clients |
//! | `key` | whose requests are counted together |
//! | `limit` | what one policy says of a request |
//! | `fields` | what the client is told |
//!
//! A count is one point in time for each client, kept in a table of a fixed size: no
//! request waits for a sweep, and no number of clients takes more memory.

mod fields;
mod gcra;
mod key;
mod limit;
mod store;

pub use gcra::{Gcra, Outcome};
pub use key::Key;
pub use limit::{Limit, Limits};
pub use store::{Memory, Store};
