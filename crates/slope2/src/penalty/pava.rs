//! Isotonic regression by pooling adjacent violators.

/// Consecutive positions with one value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) start: usize,
    pub(crate) sum: f64,
    pub(crate) mean: f64,
}

/// The closest non-increasing sequence to `z`, as blocks in order.
///
/// # Source
/// arXiv 1407.3824, Algorithm 4 (FastProxSL1), without the cut at zero.
pub(crate) fn non_increasing(z: impl IntoIterator<Item = f64>) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for (i, z) in z.into_iter().enumerate() {
        let mut top = Block { start: i, sum: z, mean: z };
        while let Some(below) = blocks.last().copied().filter(|below| below.mean <= top.mean) {
            blocks.pop();
            let sum = below.sum + top.sum;
            top = Block { start: below.start, sum, mean: sum / (i + 1 - below.start) as f64 };
        }
        blocks.push(top);
    }
    blocks
}
