//! Why a rate froze: rates over steps, each fit marked by what it decided.

use hessian_lr::decision::Decision;
use hessian_lr::trace::Trace;
use report::plot::{Plot, Series};

/// The rate of one group over steps. Each fit is a point of the colour and shape that its decision has in every such plot; where
/// only points of other kinds than `accept` and `nonfinite` stand, the rate stays, unless settings let it fall uphill or verify.
#[must_use]
pub fn rates_with_decisions(title: &str, trace: &Trace, group: usize) -> Plot {
    let rate = |step: usize| {
        trace.rates.get(step).and_then(|rates| rates.0.get(group)).copied().unwrap_or(f64::NAN)
    };
    let line = (0..trace.rates.len()).map(|step| (step as f64, rate(step)));
    let mut plot = Plot::new(title)
        .x_label("step")
        .y_label("rate that is used")
        .log_y()
        .series(Series::line("rate", line).with_look(LINE));
    for (kind, decision) in Decision::ALL.into_iter().enumerate() {
        let fits = trace.fits.iter().filter(|fit| fit.decisions.get(group) == Some(&decision));
        let points: Vec<(f64, f64)> = fits
            .map(|fit| (fit.step as f64, rate(usize::try_from(fit.step).unwrap_or(usize::MAX))))
            .collect();
        if !points.is_empty() {
            let label = format!("{} ({})", decision.name(), points.len());
            plot = plot.series(Series::points(label, points).with_look(LOOKS[kind]));
        }
    }
    plot
}

/// Looks of the line and of the decisions, in the order of [`Decision::ALL`]: what changes the rate stands out in green and red.
const LINE: usize = 4;
const LOOKS: [usize; 7] = [2, 1, 7, 3, 0, 6, 5];

#[cfg(test)]
mod tests {
    use super::*;
    use hessian_lr::controller::GroupRates;
    use hessian_lr::trace::TracedFit;

    #[test]
    fn every_decision_looks_different_and_is_counted() {
        let mut looks = LOOKS.to_vec();
        looks.push(LINE);
        looks.sort_unstable();
        looks.dedup();
        assert_eq!(looks.len(), Decision::ALL.len() + 1);
        let fits = Decision::ALL.into_iter().enumerate();
        let trace = Trace {
            rates: (1..9).map(|i| GroupRates(vec![f64::from(i)])).collect(),
            fits: fits.map(|(i, d)| TracedFit { step: i as u64, decisions: vec![d] }).collect(),
        };
        let svg = rates_with_decisions("rates", &trace, 0).to_svg().unwrap();
        for decision in Decision::ALL {
            assert!(svg.as_str().contains(&format!("{} (1)", decision.name())), "{decision}");
        }
    }
}
