//! Logits lowered where a second model has higher ones.

use unlearn::whp;

use super::{Golden, close, rows};

#[test]
fn golden_lowered_logits_are_reproduced() {
    let Some(file) = Golden::read() else { return };
    let Some(cases) = file.section("token") else { return };
    let tolerance = file.tolerance("losses");
    let mut lowered = 0;
    for (idx, case) in cases.iter().enumerate() {
        let (baseline, reinforced) = (rows(&case["logits"]), rows(&case["ref_logits"]));
        let want = rows(&case["whp_alpha1"]["baseline_minus_relu"]);
        assert_eq!((baseline.len(), reinforced.len()), (want.len(), want.len()));
        for ((baseline, reinforced), want) in baseline.iter().zip(&reinforced).zip(&want) {
            let got = whp::logits(baseline, reinforced, 1.0).unwrap();
            assert_eq!(got.len(), want.len());
            for ((got, want), baseline) in got.iter().zip(want).zip(baseline) {
                close(*got, *want, tolerance, &format!("case {idx}"));
                lowered += usize::from(got < baseline);
            }
        }
    }
    assert!(0 < lowered);
}
