//! Claims about losses and costs at budgets.

use super::{PERCENT, Rival, Row, Rows, SEEDS};
use crate::task::claim::{Asks, Check, Claim};

/// Budgets below this percentage are what the claim about so few parameters is of.
const FEW: f64 = 0.5;
/// About one percent above full training.
const ABOVE: f64 = 1.0;
/// Percent of the budgets at which the cost of the whole way is compared.
const COUNTED: [f64; 2] = [3.0, 10.0];
/// How often faster the whole way is said to be, and what counts as about that.
const FASTER: f64 = 1.5;
const ALLOWED: f64 = 0.15;

pub(super) fn all(rows: &Rows, ours: &[Row]) -> Vec<Claim> {
    let mut claims = vec![
        within_a_percent(&rows.full, ours),
        against_fixed(&rows.rivals),
        against_longer(&rows.rivals),
        whole_way(&rows.full, ours),
    ];
    if let [influence, often, many, norms] = &rows.chosen[..] {
        claims.push(more_losses(influence, [often, many]));
        claims.extend(against_gradient_norm([influence, often], norms));
    }
    claims
}

fn claim(published: &'static str, miniature: &str, checks: Vec<Check>) -> Claim {
    Claim {
        published,
        miniature: miniature.into(),
        command: "cargo xtask bench adapeft --only budgets",
        seeds: format!(
            "{}: batches, adapters and probe phase; the same batches for all methods",
            SEEDS.count()
        ),
        checks,
    }
}

fn within_a_percent(full: &Row, ours: &[Row]) -> Claim {
    let checks = PERCENT.iter().zip(ours).filter(|(part, _)| **part < FEW);
    let checks = checks.map(|(part, row)| Check {
        what: format!("chosen within {part} %: percent above full training"),
        asks: Asks::AtMost(ABOVE),
        values: row.above(full),
    });
    claim(
        "less than half a percent of the parameters comes within about one percent of full training (2501.06954, 2505.12579)",
        "the table above, whose larger budgets say where that begins",
        checks.collect(),
    )
}

fn against_fixed(rivals: &[Rival]) -> Claim {
    let check = |Rival { fixed, ours, .. }: &Rival| Check {
        what: format!("chosen with as many parameters as {}: percent above it", fixed.label),
        asks: Asks::NotLarger,
        values: ours.above(fixed),
    };
    claim(
        "chosen groups are at least as good as fixed methods of the same size (2505.12579)",
        "each budget is the number of parameters of the fixed method; as many steps, the probe phase not counted",
        rivals.iter().map(check).collect(),
    )
}

fn against_longer(rivals: &[Rival]) -> Claim {
    let check = |Rival { longer, ours, .. }: &Rival| Check {
        what: format!("{}: percent above {}", ours.label, longer.label),
        asks: Asks::NotLarger,
        values: ours.above(longer),
    };
    claim(
        "the same with the probe phase counted (asked by reviewers of 2505.12579, not published)",
        "fixed methods are trained for as many forward passes as probe phase and training take together",
        rivals.iter().map(check).collect(),
    )
}

fn whole_way(full: &Row, ours: &[Row]) -> Claim {
    let at = PERCENT.iter().zip(ours).filter(|(part, _)| COUNTED.contains(part));
    let checks = at.map(|(part, row)| {
        let pairs = full.seconds().into_iter().zip(row.seconds());
        Check {
            what: format!(
                "within {part} %: seconds of full training over those of probe phase and training"
            ),
            asks: Asks::LargerThan(FASTER - ALLOWED),
            values: pairs.map(|(full, ours)| full / ours).collect(),
        }
    });
    claim(
        "choosing and training the chosen groups is about 1.5 times as fast as full training (2501.06954 without the probe phase; \
         counting it was asked by reviewers)",
        "processor seconds over as many steps; the probe phase is a tenth of them with its fits. The search of rates is in neither",
        checks.collect(),
    )
}

/// One set less another at each budget.
fn at_budgets(ours: &[Row], other: &[Row], asks: Asks) -> Vec<Check> {
    let pairs = PERCENT.iter().zip(ours.iter().zip(other));
    let check = pairs.map(|(part, (ours, other))| Check {
        what: format!("within {part} %: {} above {}, %", ours.label, other.label),
        asks,
        values: ours.above(other),
    });
    check.collect()
}

fn more_losses(influence: &[Row], others: [&[Row]; 2]) -> Claim {
    claim(
        "influence from four times as many fits, or from fits on eight times as many windows, chooses better (ours)",
        "the gate against noise passes small groups over where little is looked at; what more losses cost is in the table",
        others.iter().flat_map(|other| at_budgets(other, influence, Asks::Smaller)).collect(),
    )
}

/// Both ways round: where neither is better beyond its errors, both hold.
fn against_gradient_norm(influence: [&[Row]; 2], norms: &[Row]) -> [Claim; 2] {
    let ours = influence.iter().flat_map(|ours| at_budgets(ours, norms, Asks::NotLarger));
    let reversed = influence.iter().flat_map(|ours| at_budgets(norms, ours, Asks::NotLarger));
    let miniature = "the same probe phase, the same exact knapsack, other values";
    [
        claim(
            "influence chooses at least as well as a squared gradient norm (asked by reviewers of 2505.12579, not published)",
            miniature,
            ours.collect(),
        ),
        claim(
            "a squared gradient norm, which needs no fits, chooses at least as well as influence (ours)",
            miniature,
            reversed.collect(),
        ),
    ]
}
