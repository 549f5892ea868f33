//! Build and benchmark automation.
fn main() {}
