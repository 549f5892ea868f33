//! Losses of single tokens.

use report::golden::{array, number};
use serde_json::Value;
use unlearn::objective::TokenLoss;

use super::{Golden, close, numbers, rows};

/// Sums over positions with a label, and how many there are.
struct Sums {
    loss: f64,
    n: f64,
    gradients: Vec<Vec<f64>>,
}

fn sums(loss: TokenLoss, case: &Value, skip: usize) -> Sums {
    let (logits, reference) = (rows(&case["logits"]), rows(&case["ref_logits"]));
    let mut out = Sums { loss: 0.0, n: 0.0, gradients: Vec::new() };
    let mut labelled = 0;
    for (t, label) in numbers(&case["labels"]).into_iter().enumerate() {
        if label < 0.0 {
            out.gradients.push(vec![0.0; logits[t].len()]);
            continue;
        }
        labelled += 1;
        let (value, gradient) = loss.value(&logits[t], label as usize, &reference[t]).unwrap();
        if labelled <= skip {
            continue;
        }
        out.loss += value;
        out.n += 1.0;
        out.gradients.push(gradient);
    }
    out
}

#[test]
fn golden_losses_of_tokens() {
    let Some(golden) = Golden::read() else { return };
    let Some(cases) = golden.section("token") else { return };
    let tolerance = golden.tolerance("losses");
    for (i, case) in cases.iter().enumerate() {
        let check = |got: f64, key: &str| {
            let want = number(case, &format!("/{key}"));
            close(got, want, tolerance * want.abs().max(1.0), &format!("case {i}, {key}"));
        };
        let nll = sums(TokenLoss::NextToken, case, 0);
        check(nll.loss, "nll_sum");
        check(nll.loss / nll.n, "nll_token_mean");
        check((-nll.loss / nll.n).exp(), "prob_length_normalised");
        let want = rows(&case["grad_nll_token_mean"]);
        for (got, want) in nll.gradients.iter().flatten().zip(want.iter().flatten()) {
            close(got / nll.n, *want, tolerance, &format!("case {i}, gradient"));
        }
        let mean = |loss: TokenLoss| {
            let sums = sums(loss, case, 0);
            sums.loss / sums.n
        };
        check(mean(TokenLoss::Wga { beta: 1.0 }), "wga_beta1");
        check(mean(TokenLoss::SatImp { beta1: 5.0, beta2: 1.0 }), "satimp_5_1");
        check(mean(TokenLoss::Kl), "kl_mean_labelled_positions");
        let logits = rows(&case["logits"]);
        let reference = rows(&case["ref_logits"]);
        let each: Vec<f64> = logits
            .iter()
            .zip(&reference)
            .map(|(z, z0)| TokenLoss::Kl.value(z, 0, z0).unwrap().0)
            .collect();
        for (got, want) in each.iter().zip(array(&case["kl_ref_to_model_per_position"])) {
            close(*got, number(want, ""), tolerance, &format!("case {i}, divergence"));
        }
        check(each.iter().sum::<f64>() / each.len() as f64, "kl_mean_all_positions");
        let ceu = sums(TokenLoss::CeU, case, 0);
        check(ceu.loss / ceu.n, "ceu");
    }
}
