//! tensor-tree
