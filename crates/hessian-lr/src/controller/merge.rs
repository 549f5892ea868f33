//! Groups whose rates stay equal are put together: each saves probes at every fit.

use super::settings::Merge;
use super::state::Axis;

/// Counts for how many fits neighbors in rate were alike, and puts those together that were so long enough. Fits count where both
/// are settled: rates that rise side by side at their clamp, or stand still side by side, are equal by accident.
pub(super) fn merge(axes: &mut Vec<Axis>, settled: &[bool], rule: Merge) {
    let mut order: Vec<usize> = (0..axes.len()).collect();
    order.sort_by(|a, b| axes[*a].rate.total_cmp(&axes[*b].rate));
    let name = |axis: &Axis| axis.groups.first().copied().unwrap_or(0);
    let mut joined = None;
    for pair in order.windows(2) {
        let (below, above) = (name(&axes[pair[0]]), pair[1]);
        let is_alike = axes[above].rate <= rule.within * axes[pair[0]].rate;
        let before = axes[above].alike.filter(|(with, _)| *with == below).map_or(0, |(_, n)| n);
        let n = before + u32::from(settled[pair[0]] && settled[above]);
        axes[above].alike = is_alike.then_some((below, n));
        if is_alike && rule.fits <= n && joined.is_none() {
            joined = Some((pair[0], above));
        }
    }
    if let Some(first) = order.first() {
        axes[*first].alike = None;
    }
    // One pair at a time: the next fit sees what became of it.
    if let Some((into, from)) = joined {
        let (low, high) = (into.min(from), into.max(from));
        let other = axes.remove(high);
        let own = &mut axes[low];
        own.rate = own.rate.sqrt() * other.rate.sqrt();
        own.groups.extend(other.groups);
        own.groups.sort_unstable();
        own.growth = own.growth.min(other.growth);
        own.below_noise = 0;
        own.n_rejected += other.n_rejected;
        own.average = None;
        own.alike = None;
    }
}
