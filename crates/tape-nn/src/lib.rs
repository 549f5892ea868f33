//! tape-nn
