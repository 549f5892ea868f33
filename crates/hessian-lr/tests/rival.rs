//! Rivals against their recursions in plain doubles, and what all of them promise.

mod adaptive;
mod armijo;
mod averages;
mod battery;
mod dog;
mod hypergradient;
mod polyak;
mod problem;
