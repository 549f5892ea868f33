//! The learning rates of the training tasks: a half-decade grid for each method at epsilon 3.

use report::figures::Better;
use report::html::Section;
use report::number::significant;
use report::table::{Align, Table};

use super::images::{DEFAULT, METHODS};
use crate::data::Places;
use crate::error::Result;
use crate::problem::ImageProblem;
use crate::session::{Session, Spread};
use crate::train::train;

/// Half decades.
const GRID: [f64; 8] = [1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0];
const EPSILON: f64 = 3.0;

/// Runs the grid with one seed.
///
/// # Privacy
/// Choosing a rate by results is itself a use of the data. It is not accounted for, since the data are public.
pub(super) fn run(session: &Session) -> Result<Section> {
    let places = Places::discover()?;
    let mut columns = vec!["problem".to_owned(), "method".into()];
    columns.extend(GRID.map(|rate| significant(rate, 1)));
    let mut table = Table::new(columns).with_caption("Test accuracy in percent, seed 1");
    for column in 2..2 + GRID.len() {
        table = table.align(column, Align::Right);
    }
    for setting in DEFAULT {
        let problem = ImageProblem::open(setting.problem, &places)?;
        for (optimizer, clipping) in METHODS {
            let privacy = clipping.map(|c| setting.privacy(c, EPSILON));
            let mut best = (f64::NEG_INFINITY, 0.0);
            let (mut cells, mut label) = (Vec::new(), String::new());
            for rate in GRID {
                let config = setting.config(optimizer, privacy, rate, 1);
                label = config.label();
                let outcome = train(&problem, &config, session)?;
                let accuracy = outcome.last().and_then(|p| p.test.accuracy).unwrap_or(0.0);
                if best.0 < accuracy {
                    best = (accuracy, rate);
                }
                cells.push(significant(100.0 * accuracy, 3));
            }
            let name = format!("{}: {label}", setting.problem);
            let name = name.to_lowercase().replace([' ', ',', ':', '/'], "-").replace("--", "-");
            let spread =
                Spread { better: Better::None, std: None, n_seeds: 1, config: name.clone() };
            session.figure("rates", &name, best.1, "rate", spread)?;
            table.push_row([setting.problem.to_owned(), label].into_iter().chain(cells));
        }
    }
    Ok(Section::new("Learning rates")
        .paragraph("The best rate of each row is what the training tasks should use.")
        .table(&table))
}
