//! Wrong in every stage: it does nothing.

fn main() {}
