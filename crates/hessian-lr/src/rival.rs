//! Other ways to have no learning rate to tune, as rivals in the same loop.
