//! Columns and rows that tables of methods have in common.

use report::table::Table;

use crate::forgetting::{Shown, Summary};

/// A column of a table: its head, and the number of a summary.
pub(super) type Column = (&'static str, fn(&Summary) -> f64);

/// What every table of methods begins with.
pub(super) const SHARED: [Column; 9] = [
    ("distance", |s| s.distance),
    ("divergence", |s| s.divergence),
    ("forget ROUGE", |s| s.forget_rouge),
    ("forget exact", |s| s.forget_exact),
    ("forget loss", |s| s.forget_loss),
    ("retain ROUGE", |s| s.retain_rouge),
    ("retain exact", |s| s.retain_exact),
    ("retain loss", |s| s.retain_loss),
    ("AUC", |s| s.auc),
];

/// What models wrote of the same rows: target, gold model, and these methods.
pub(super) fn generations(
    caption: &str,
    (target, gold): (&[Shown], &[Shown]),
    methods: &[(&str, &[Shown])],
) -> Table {
    let heads = ["row", "read", "to be written", "target", "gold model"].into_iter();
    let heads = heads.chain(methods.iter().map(|(name, _)| *name));
    let mut table = Table::new(heads).with_caption(caption);
    for (i, (before, never)) in target.iter().zip(gold).enumerate() {
        let row = [
            before.id.clone(),
            before.input.clone(),
            before.output.clone(),
            before.generation.clone(),
            never.generation.clone(),
        ];
        let of = |(_, shown): &(&str, &[Shown])| {
            shown.get(i).map_or_else(String::new, |s| s.generation.clone())
        };
        table.push_row(row.into_iter().chain(methods.iter().map(of)));
    }
    table
}
