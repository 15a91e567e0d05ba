//! The lab backends.
