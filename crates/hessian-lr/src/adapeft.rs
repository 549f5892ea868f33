//! AdaPEFT: which groups of parameters to train.
