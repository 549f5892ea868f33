//! What the theory says of itself, of the solver-free fit by message passing, and of finite problems.

mod finite;
mod identities;
