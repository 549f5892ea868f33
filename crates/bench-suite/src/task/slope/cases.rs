//! Which fits on which designs are compared, and what is aimed at.

use crate::slope::peers::Peer;
use crate::slope::simulate::{Kind, Simulation};
use crate::slope::work::{Shape, Work};

/// A design with the cases on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Wide,
    Tall,
    Mid,
    Sparse,
}

/// One row of the comparison.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) work: Work,
    /// Largest ratio of our time to the reference's that is aimed at.
    pub(super) goal: Option<f64>,
}

impl Case {
    /// Whether it is a LASSO, which more libraries can do.
    pub(super) fn is_lasso(&self) -> bool {
        match &self.work {
            Work::Fit { shape, .. }
            | Work::Path { shape, .. }
            | Work::CrossValidation { shape, .. } => shape.is_lasso(),
            Work::Grid { .. } | Work::Prox { .. } => false,
        }
    }

    /// The libraries that can do it.
    pub(super) fn peers(&self) -> Vec<Peer> {
        if self.is_lasso() { Peer::ALL.to_vec() } else { vec![Peer::SortedL1] }
    }

    /// The libraries that the goal is about, of which the fastest counts.
    pub(super) fn references(&self) -> &'static [Peer] {
        if self.is_lasso() { &[Peer::Celer, Peer::Skglm] } else { &[Peer::SortedL1] }
    }

    /// What the ratio is called in figures.
    pub(super) fn ratio_name(&self) -> String {
        let over = if self.is_lasso() { "fastest" } else { "sortedl1" };
        format!("{}-over-{over}", self.name)
    }
}

impl Group {
    pub(super) const ALL: [Group; 4] = [Group::Wide, Group::Tall, Group::Mid, Group::Sparse];

    pub(super) fn name(self) -> &'static str {
        match self {
            Group::Wide => "wide",
            Group::Tall => "tall",
            Group::Mid => "mid",
            Group::Sparse => "sparse",
        }
    }

    pub(super) fn simulation(self) -> Simulation {
        let dense = |n, p| Simulation { n, p, kind: Kind::Autoregression { rho: 0.5 }, seed: 1 };
        match self {
            Group::Wide => dense(200, 20_000),
            Group::Tall => dense(20_000, 200),
            Group::Mid => dense(500, 2_000),
            Group::Sparse => {
                let kind = Kind::Sparse { density: 0.001 };
                Simulation { n: 10_000, p: 100_000, kind, seed: 1 }
            }
        }
    }

    pub(super) fn cases(self) -> Vec<Case> {
        let two = |share| Shape { share, ratio: 0.5 };
        let fit = |name, about, shape, part, goal| Case {
            name,
            about,
            work: Work::Fit { shape, part },
            goal,
        };
        let path = |name, about, shape, goal| Case {
            name,
            about,
            work: Work::Path { shape, n_points: 50, part: 50.0 },
            goal,
        };
        let lasso = Shape::LASSO;
        match self {
            Group::Wide => {
                let corner = Shape { share: 0.01, ratio: 0.1 };
                vec![
                    fit("wide-2", "two levels, /2", two(0.02), 2.0, None),
                    fit("wide-10", "two levels, /10", two(0.02), 10.0, Some(1.0 / 8.0)),
                    fit("wide-50", "two levels, /50", two(0.02), 50.0, Some(1.0 / 30.0)),
                    path("wide-path", "two levels, path", two(0.02), Some(1.0 / 15.0)),
                    fit("corner-10", "corner, /10", corner, 10.0, Some(0.2)),
                    fit("corner-50", "corner, /50", corner, 50.0, Some(0.2)),
                    fit("lasso-wide-2", "LASSO, /2", lasso, 2.0, Some(0.5)),
                    fit("lasso-wide-10", "LASSO, /10", lasso, 10.0, Some(0.5)),
                    fit("lasso-wide-50", "LASSO, /50", lasso, 50.0, Some(0.5)),
                    path("lasso-wide-path", "LASSO, path", lasso, Some(0.5)),
                ]
            }
            Group::Tall => vec![
                fit("tall-2", "two levels, /2", two(0.2), 2.0, Some(0.4)),
                fit("tall-10", "two levels, /10", two(0.2), 10.0, Some(0.4)),
                fit("tall-50", "two levels, /50", two(0.2), 50.0, Some(0.4)),
                path("tall-path", "two levels, path", two(0.2), Some(1.0 / 12.0)),
                fit("lasso-tall-2", "LASSO, /2", lasso, 2.0, Some(0.5)),
                fit("lasso-tall-10", "LASSO, /10", lasso, 10.0, Some(0.5)),
                fit("lasso-tall-50", "LASSO, /50", lasso, 50.0, Some(0.5)),
                path("lasso-tall-path", "LASSO, path", lasso, Some(0.5)),
            ],
            Group::Mid => {
                let grid = Work::Grid {
                    shares: vec![0.01, 0.05, 0.25],
                    ratios: vec![0.25, 0.5, 0.75],
                    n_points: 10,
                    part: 10.0,
                };
                vec![
                    fit("mid-2", "two levels, /2", two(0.02), 2.0, Some(0.25)),
                    fit("mid-10", "two levels, /10", two(0.02), 10.0, Some(0.25)),
                    fit("mid-50", "two levels, /50", two(0.02), 50.0, Some(0.25)),
                    path("mid-path", "two levels, path", two(0.02), Some(0.25)),
                    Case {
                        name: "grid",
                        about: "two levels, grid",
                        work: grid,
                        goal: Some(1.0 / 3.0),
                    },
                    fit("lasso-mid-2", "LASSO, /2", lasso, 2.0, Some(0.9)),
                    fit("lasso-mid-10", "LASSO, /10", lasso, 10.0, Some(0.9)),
                    fit("lasso-mid-50", "LASSO, /50", lasso, 50.0, Some(0.9)),
                    path("lasso-mid-path", "LASSO, path", lasso, Some(0.9)),
                ]
            }
            Group::Sparse => vec![
                fit("sparse-10", "two levels, /10", two(0.02), 10.0, None),
                fit("sparse-50", "two levels, /50", two(0.02), 50.0, Some(0.2)),
                fit("lasso-sparse-10", "LASSO, /10", lasso, 10.0, Some(1.2)),
                fit("lasso-sparse-50", "LASSO, /50", lasso, 50.0, Some(1.2)),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> =
            Group::ALL.iter().flat_map(|g| g.cases()).map(|case| case.name).collect();
        let n = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), n);
    }
}
