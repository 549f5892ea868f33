//! Settings where the pessimistic value of another library lies below a certified lower bound.

use dp_core::PldAccountant;
use report::figures::Better;
use report::html::Section;
use report::number::significant;
use report::table::{Align, Table};

use super::figure;
use crate::accountant::peers::{Environment, Peer};
use crate::accountant::{Answer, LIMIT, Request, Setting};
use crate::error::{Error, Result};
use crate::peers::client::Reply;
use crate::session::Session;
use crate::task::claim::{Asks, Check, Claim};

/// Cases of `accountant.json` with the intervals at which the peer is asked.
const CASES: [(&str, Setting, [f64; 2]); 2] = [
    ("fp045", Setting { q: 1e-5, noise: 0.5, steps: 1_000_000, delta: 1e-9 }, [1e-4, 5e-5]),
    ("fp059", Setting { q: 0.01, noise: 1.0, steps: 1000, delta: 1e-12 }, [1e-4, 3e-5]),
];
const WIDTH: f64 = 3e-4;

pub(super) fn run(session: &Session, environment: Option<&Environment>) -> Result<Section> {
    let mut peer =
        environment.map(|environment| environment.start(Peer::DpAccounting)).transpose()?;
    let accountant = PldAccountant::with_tolerance(WIDTH, 0.0)?;
    let mut table = Table::new([
        "case",
        "q, noise, steps, delta",
        "interval",
        "dp-accounting",
        "at least",
        "at most",
    ])
    .with_caption("What dp-accounting gives as pessimistic, and what is certain.");
    for column in 2..6 {
        table = table.align(column, Align::Right);
    }
    let mut checks = Vec::new();
    for (name, setting, intervals) in CASES {
        let found = accountant.optimize(&setting.event()?, setting.delta()?)?;
        let config = format!("width {WIDTH:e}");
        for (end, value) in [("lower", found.lower), ("upper", found.upper)] {
            figure(session, &format!("{name}-{end}"), value, "epsilon", Better::Lower, &config)?;
        }
        let Setting { q, noise, steps, delta } = setting;
        let mut lowest = f64::INFINITY;
        for interval in intervals {
            let mut shown = String::new();
            if let Some(peer) = &mut peer {
                if session.interrupt.is_set() {
                    return Err(Error::Interrupted);
                }
                let request =
                    Request { setting, repeats: 1, interval: Some(interval), width: None };
                match peer.ask::<Answer>(&request, LIMIT)? {
                    Reply::Done(answer) => {
                        let figure_name = format!("{name}-dp-accounting-{interval:e}");
                        figure(
                            session,
                            &figure_name,
                            answer.upper,
                            "epsilon",
                            Better::Higher,
                            "pessimistic",
                        )?;
                        lowest = lowest.min(answer.upper);
                        shown = significant(answer.upper, 6);
                    }
                    Reply::Refused(why) => shown = why.chars().take(60).collect(),
                }
            }
            table.push_row([
                name.to_owned(),
                format!("{q:e}, {noise}, {steps}, {delta:e}"),
                format!("{interval:e}"),
                shown,
                significant(found.lower, 6),
                significant(found.upper, 6),
            ]);
        }
        if lowest.is_finite() {
            checks.push(Check {
                what: format!("{name}: pessimistic value minus certified lower bound"),
                asks: Asks::Smaller,
                values: vec![lowest - found.lower],
            });
        }
    }
    let section = Section::new("A peer's bound below the truth").table(&table);
    if checks.is_empty() {
        return Ok(section.paragraph("`--peers` asks dp-accounting again."));
    }
    let claim = Claim {
        published: "dp-accounting's pessimistic value can lie below a certified lower bound",
        miniature: "two settings, one with rare huge losses and one with a small delta".into(),
        command: "cargo xtask bench accountant --peers --only below",
        seeds: "none: nothing is random".into(),
        checks,
    };
    Ok(section.section(claim.section()))
}
